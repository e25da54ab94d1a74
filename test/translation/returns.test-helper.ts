/** Guests that call themselves very deeply; they may be run on a host thread with a small stack. */
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, createGuest } from './guest.ts';

export interface Depth {
  readonly result: string;
  readonly sum: bigint;
  readonly balanced: boolean;
  readonly exceptions: number;
  readonly translated: boolean;
}

const PROGRAMS = {
  /** sum(n) = n + sum(n - 1), with a frame. */
  itself:
    'sum: test rdi, rdi; jz base; push rdi; dec rdi; call sum; pop rdi; add rax, rdi; ret; base: xor eax, eax; ret',
  /** Two functions that call each other through a table of pointers. */
  pointers: `
    sum: test rdi, rdi; jz base; push rdi; dec rdi; mov eax, edi; and eax, 1; call qword [r8+rax*8]; pop rdi; add rax, rdi; ret
    base: xor eax, eax; ret
    other: test rdi, rdi; jz base; dec rdi; push rdi; mov eax, edi; and eax, 1; call qword [r8+rax*8]; pop rdi; lea rax, [rax+rdi+1]; ret`,
  /** The function spans several calls in each of its activations. */
  twice: `sum: cmp rdi, 1; jbe base; push rdi; call leaf; dec rdi; call sum; call leaf; pop rdi; add rax, rdi; ret
    base: mov rax, rdi; ret
    leaf: inc r9; ret`,
} as const;
export type Recursion = keyof typeof PROGRAMS;
export const RECURSIONS = Object.keys(PROGRAMS) as Recursion[];

/** Calls itself `depth` deep, several times, as a hot function does. */
export function recurse(translation: Translation | undefined, program: Recursion, depth: number): Depth {
  const guest = createGuest({ translation });
  guest.load(0x5000, PROGRAMS[program]);
  guest.load(AT.code, 'again: mov rdi, rbx; call sum; add rbp, rax; dec ecx; jnz again; hlt');
  const { sum, other } = guest.labels;
  guest.quad(AT.data, BigInt(sum));
  guest.quad(AT.data + 8, BigInt(other ?? 0));
  guest.set({ rbx: depth, r8: AT.data, rcx: 3 });
  const result = guest.go(AT.code, depth * 100);
  return {
    result,
    sum: guest.get('rbp') / 3n,
    balanced: guest.get('rsp') === BigInt(AT.stack),
    exceptions: guest.caught.length,
    translated: guest.hasTranslated(),
  };
}
