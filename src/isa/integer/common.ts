/** What the integer instruction tables share. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';

/** Size of an integer operand. */
export const width = (operand: Operand): Width => operand.size as Width;

/** Two hexadecimal digits, as encodings write bytes. */
export const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

/**
 * Encodings of an instruction of the first opcode rows: register and memory both ways, accumulator and immediate, and
 * the immediate groups 80–83. `lock` is false for CMP, which writes nothing.
 */
export function rowEncodings(row: number, lock: boolean): string[] {
  const first = row * 8;
  const l = lock ? 'lock ' : '';
  return [
    `${hex(first)} /r ${l}Eb,Gb`,
    `${hex(first + 1)} /r ${l}Ev,Gv`,
    `${hex(first + 2)} /r Gb,Eb`,
    `${hex(first + 3)} /r Gv,Ev`,
    `${hex(first + 4)} AL,Ib`,
    `${hex(first + 5)} rAX,Izs`,
    `80 /${row} ${l}Eb,Ib`,
    `81 /${row} ${l}Ev,Izs`,
    `82 /${row} i64 ${l}Eb,Ib`,
    `83 /${row} ${l}Ev,Ibs`,
  ];
}

/** Bit `position` of an i64, as i32. */
export function bitAt(b: InstructionBuilder, value: Value, position: number): Value {
  return b.wrap(b.and(b.shrU(value, b.i64(position)), b.i64(1)));
}

/** The most significant bit of the low `size` bytes, as i32. */
export function topBit(b: InstructionBuilder, value: Value, size: Width): Value {
  return bitAt(b, value, size * 8 - 1);
}

/** Upper half of the 128-bit product of two unsigned i64. */
export function multiplyHighU(b: InstructionBuilder, x: Value, y: Value): Value {
  const half = b.i64(32);
  const low = (v: Value) => b.and(v, b.i64(0xffff_ffff));
  const high = (v: Value) => b.shrU(v, half);
  const [x0, x1, y0, y1] = [low(x), high(x), low(y), high(y)];
  const middle = b.add(b.mul(x1, y0), high(b.mul(x0, y0)));
  const carry = high(b.add(b.mul(x0, y1), low(middle)));
  return b.add(b.add(b.mul(x1, y1), high(middle)), carry);
}

/** Upper half of the 128-bit product of two signed i64. */
export function multiplyHighS(b: InstructionBuilder, x: Value, y: Value): Value {
  const sign = (v: Value) => b.shrS(v, b.i64(63));
  return b.sub(b.sub(multiplyHighU(b, x, y), b.and(sign(x), y)), b.and(sign(y), x));
}

/**
 * Checks that `bytes` bytes at a linear address can be written, for instructions that store in several places: those
 * stores then do not fault. Nothing is left pending.
 */
export function probeWrite(b: InstructionBuilder, linear: Value, bytes: number, flags = 0): void {
  b.translate(linear, bytes, flags | MEMORY_ACCESS.write);
  b.setScratchField('pendingKind', b.i32(0));
}

/** Runs `then` where an i64 is not 0, decided at build time if it is a constant. */
export function ifNonZero(b: InstructionBuilder, value: Value, then: () => void): void {
  if (value.kind !== 'const') b.if(b.op('i64.ne', value, b.i64(0)), then);
  else if (value.value !== 0n) then();
}

/** Status flags that a condition code looks at. */
export const conditionFlags = (code: number): string =>
  ['o', 'c', 'z', 'cz', 's', 'p', 'so', 'soz'][code >> 1] as string;

/** Moves an index or count register by `amount` (i64), at the width of addresses. */
export function advance(b: InstructionBuilder, register: number, amount: Value): void {
  const size = b.addressSize;
  b.setGpr(register, b.zeroExtend(b.add(b.gpr(register, size), amount), size), size);
}
