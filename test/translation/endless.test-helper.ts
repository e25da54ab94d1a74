/** Guests that never end by themselves: what counts is that their vCPU comes back. */
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, createGuest } from './guest.ts';

export const ENDLESS = {
  'a loop': 'again: inc rbx; jmp again',
  'a loop on itself': 'mov ecx, 0x7fffffff; again: loop again',
  'a loop in a loop': 'outer: mov ecx, 1000; inner: dec ecx; jnz inner; jmp outer',
  'a function': 'again: call f; jmp again; f: mov ecx, 0x7fffffff; spin: dec ecx; jnz spin; ret',
  'two functions': 'again: call f; jmp again; f: call g; jmp f; g: inc rbx; ret',
  'a jump by a register': 'mov rax, again; again: inc rbx; jmp rax',
  'a function that calls itself for ever, on a stack that it resets': 'f: mov rsp, rbp; call f',
} as const;

/** Instructions of a run. */
export const LONG = 1_000_000;

export interface Comings {
  readonly results: readonly string[];
  /** Instructions of each run beyond the count. */
  readonly beyond: readonly number[];
  readonly translated: boolean;
}

export function runEndless(translation: Translation | undefined, what: keyof typeof ENDLESS): Comings {
  const guest = createGuest({ translation });
  guest.load(AT.code, ENDLESS[what]);
  guest.set({ rbp: AT.stack });
  guest.state.rip = BigInt(AT.code);
  const results: string[] = [];
  const beyond: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = guest.vcpu.retired();
    results.push(guest.vcpu.run(LONG));
    beyond.push(guest.vcpu.retired() - before - LONG);
  }
  return { results, beyond, translated: guest.hasTranslated() };
}
