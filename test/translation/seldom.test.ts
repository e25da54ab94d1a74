/** Paths that are seldom taken are no part of a region: it is left for them, with all that they need to see. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, createGuest } from './guest.ts';

/** A jump counts as seldom that was taken less than 10 times. */
const TRANSLATION: Translation = { threshold: 640 };
const PATH = 40;
/** The path is taken where the round has none of the bits of RSI; it reads the flags that the jump was taken for. */
const PROGRAM = `
  again: inc rax; mov rdx, rcx; add rbx, rax; and rdx, rsi; je path; back: dec ecx; jnz again; hlt
  path: pushf; pop rdi; and rdi, 0x8d5; add r9, rdi; ${'lea r10, [r10+rdx+3]; '.repeat(PATH)} jmp back`;

for (const [how, translation] of [
  ['translated', TRANSLATION],
  ['verified', { ...TRANSLATION, verify: { first: 0, every: 1 } }],
] as const) {
  const both = [createGuest({ translation }), createGuest({ translation: undefined })];
  for (const guest of both) guest.load(AT.code, PROGRAM);
  const run = (rounds: number, mask: number) => {
    const [seen, expected] = both.map((guest) => {
      guest.set({ rcx: rounds, rsi: mask });
      assert.equal(guest.go(AT.code), 'halted');
      return guest.architecture();
    });
    assert.deepEqual(seen, expected);
    return both[0].vcpu.stats()['translated instructions'];
  };

  test(`a path that is seldom taken is left to the interpreter until it is taken often (${how})`, () => {
    const without = run(6000, 0x3ff);
    assert.ok(without > 0 && without < PATH, `${without} instructions are translated`);
    const more = run(6000, 0);
    assert.ok(more - without > PATH, `${more} instructions are translated`);
  });
}
