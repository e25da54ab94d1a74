/** Addition, subtraction, comparison, increments (SDM vol. 2; APM vol. 3). */
import { define } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { rowEncodings, width } from './common.ts';

function add(b: InstructionBuilder, dst: Operand, src: Operand, withCarry: boolean): void {
  const y = src.read();
  const carry = withCarry ? b.extendU(b.flag('cf')) : undefined;
  const { old, result } = dst.update('add', carry === undefined ? y : b.add(y, carry));
  b.flagsOfAdd(width(dst), old, y, result, carry);
}

function subtract(b: InstructionBuilder, dst: Operand, src: Operand, withBorrow: boolean): void {
  const y = src.read();
  const borrow = withBorrow ? b.extendU(b.flag('cf')) : undefined;
  const { old, result } = dst.update('sub', borrow === undefined ? y : b.add(y, borrow));
  b.flagsOfSub(width(dst), old, y, result, borrow);
}

/** INC and DEC: CF stays. `step` is 1 or -1. */
function step(b: InstructionBuilder, dst: Operand, amount: 1 | -1): void {
  const size = width(dst);
  const carry = b.flag('cf');
  const inMemory = dst.kind === 'memory';
  const sum = inMemory ? dst.update('add', b.i64(amount)).result : b.add(dst.read(), b.i64(amount));
  const result = b.zeroExtend(sum, size);
  // Extended once, for flags and register: most loops have one of these.
  if (!inMemory) dst.write(result);
  const top = 1n << BigInt(size * 8 - 1);
  const overflow = b.eq(result, b.i64(amount === 1 ? top : top - 1n));
  const auxiliary = b.eq(b.and(result, b.i64(15)), b.i64(amount === 1 ? 0 : 15));
  b.setFlags(size, result, carry, overflow, auxiliary);
}

export const arithmetic = define([
  {
    name: 'add',
    encodings: rowEncodings(0, true),
    writes: 'oszapc',
    semantics: (b, dst, src) => add(b, dst, src, false),
  },
  {
    name: 'adc',
    encodings: rowEncodings(2, true),
    reads: 'c',
    writes: 'oszapc',
    semantics: (b, dst, src) => add(b, dst, src, true),
  },
  {
    name: 'sbb',
    encodings: rowEncodings(3, true),
    reads: 'c',
    writes: 'oszapc',
    semantics: (b, dst, src) => subtract(b, dst, src, true),
  },
  {
    name: 'sub',
    encodings: rowEncodings(5, true),
    writes: 'oszapc',
    semantics: (b, dst, src) => subtract(b, dst, src, false),
  },
  {
    name: 'cmp',
    encodings: rowEncodings(7, false),
    writes: 'oszapc',
    semantics(b, left, right) {
      const x = left.read();
      const y = right.read();
      b.flagsOfSub(width(left), x, y, b.sub(x, y));
    },
  },
  {
    name: 'inc',
    encodings: ['40+r i64 Zv', 'fe /0 lock Eb', 'ff /0 lock Ev'],
    writes: 'oszap',
    semantics: (b, dst) => step(b, dst, 1),
  },
  {
    name: 'dec',
    encodings: ['48+r i64 Zv', 'fe /1 lock Eb', 'ff /1 lock Ev'],
    writes: 'oszap',
    semantics: (b, dst) => step(b, dst, -1),
  },
  {
    name: 'neg',
    encodings: ['f6 /3 lock Eb', 'f7 /3 lock Ev'],
    writes: 'oszapc',
    semantics(b, dst) {
      const { old, result } = dst.update('neg', b.i64(0));
      b.flagsOfSub(width(dst), b.i64(0), old, result);
    },
  },
]);
