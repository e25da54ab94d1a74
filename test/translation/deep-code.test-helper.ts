/** A guest whose code becomes hot while the host's stack is full of its calls. */
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, createGuest } from './guest.ts';

/** Conditional jumps out of each function, which become as many nested blocks of WebAssembly. */
export const NESTED = 60;
/** Functions, one to a page from here on. */
const PLACE = 0x4_0000;
export const FUNCTIONS = 20;
/** Activations between two that call a function of their own. */
const EVERY = 32;

export interface DeepCode {
  readonly result: string;
  readonly exceptions: number;
  readonly calls: bigint;
  readonly functions: number;
}

const labels = Array.from({ length: NESTED }, (_, i) => `out${i}`);
/** Takes the jump whose number is in EAX. */
const FUNCTION = `${labels.map((label) => `dec eax; jz ${label}`).join('; ')}; ${labels
  .toReversed()
  .map((label) => `${label}: add rbx, 0`)
  .join('; ')}; add r9, 1; ret`;

/** Recurses; every 32nd activation makes a function hot that is its own, with all the stack of those above in use. */
export function deepCode(translation: Translation | undefined, rounds: number): DeepCode {
  const guest = createGuest({ translation });
  for (let i = 0; i < FUNCTIONS; i++) {
    guest.load(PLACE + i * 0x1000, FUNCTION);
    guest.quad(AT.data + 8 * i, BigInt(PLACE + i * 0x1000));
  }
  guest.load(
    0x5000,
    `
    down: test edi, edi; jz base; push rdi
    mov eax, edi; and eax, ${EVERY - 1}; jnz deeper
    mov esi, edi; shr esi, ${Math.log2(EVERY)}; mov r10d, ${rounds}
    again: mov eax, r10d; and eax, 63; inc eax; call qword [rbp+rsi*8]; dec r10d; jnz again
    deeper: dec edi; call down; pop rdi; ret
    base: ret`,
  );
  guest.load(
    AT.code,
    `mov edi, 3; call down; mov edi, 3; call down; mov edi, ${EVERY * (FUNCTIONS - 1)}; call down; hlt`,
  );
  guest.set({ rbp: AT.data });
  const result = guest.go(AT.code, 100_000_000);
  return {
    result,
    exceptions: guest.caught.length,
    calls: guest.get('r9'),
    functions: guest.vcpu.stats().regions ?? 0,
  };
}
