/**
 * Shifts and rotates (SDM vol. 2B, SAL/SAR/SHL/SHR and RCL/RCR/ROL/ROR). The count is taken modulo 32, or 64 for 64-bit
 * operands; where it is then 0, no flag changes. OF, which the manuals define for a count of 1 only, follows the same
 * formula for all counts, as processors do.
 */
import type { Value } from '../../ir/node.ts';
import { type Definition, define, type Semantics } from '../definition.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { ifNonZero, topBit, width } from './common.ts';

interface Outcome {
  /** The low bytes of the operand's size count. */
  readonly result: Value;
  /** CF and OF as i32; built only where flags change. */
  readonly flags: () => { readonly carry: Value; readonly overflow: Value };
}

type Operation = (b: InstructionBuilder, size: Width, x: Value, count: Value) => Outcome;

const bit0 = (b: InstructionBuilder, value: Value): Value => b.wrap(b.and(value, b.i64(1)));

/** The last bit that leaves at the right. */
const lastRight = (b: InstructionBuilder, x: Value, count: Value): Value => bit0(b, b.shrU(x, b.sub(count, b.i64(1))));

/** Whether the two upper bits of a result differ: OF of what moves right. */
function topBitsDiffer(b: InstructionBuilder, size: Width, result: Value): Value {
  return topBit(b, b.xor(result, b.shl(result, b.i64(1))), size);
}

/** OF of what moves left. */
function leftFlags(b: InstructionBuilder, size: Width, result: Value, carry: Value) {
  return { carry, overflow: b.xor(carry, topBit(b, result, size)) };
}
function rightFlags(b: InstructionBuilder, size: Width, result: Value, carry: Value) {
  return { carry, overflow: topBitsDiffer(b, size, result) };
}

const shiftLeft: Operation = (b, size, x, count) => {
  const result = b.shl(x, count);
  const carry = () =>
    size === 8 ? bit0(b, b.shrU(x, b.sub(b.i64(64), count))) : bit0(b, b.shrU(result, b.i64(size * 8)));
  return { result, flags: () => leftFlags(b, size, result, carry()) };
};

const shiftRight: Operation = (b, size, x, count) => {
  const result = b.shrU(x, count);
  return { result, flags: () => rightFlags(b, size, result, lastRight(b, x, count)) };
};

const shiftArithmetic: Operation = (b, size, x, count) => {
  const signed = b.signExtend(x, size);
  const carry = () => bit0(b, b.shrS(signed, b.sub(count, b.i64(1))));
  return { result: b.shrS(signed, count), flags: () => ({ carry: carry(), overflow: b.i32(0) }) };
};

/** Rotates a value of `size` bytes; the bytes above the result are not clean. */
function rotate(b: InstructionBuilder, size: Width, x: Value, count: Value, left: boolean): Value {
  const turn = (value: Value, by: Value) => (left ? b.rotl(value, by) : b.rotr(value, by));
  if (size === 8) return turn(x, count);
  // Copies side by side fill 32 bits, so that any count up to 31 is right.
  const copies = size === 4 ? x : b.mul(x, b.i64(size === 2 ? 0x1_0001 : 0x101_0101));
  return b.extendU(turn(b.wrap(copies), b.wrap(count)));
}

const rotateLeft: Operation = (b, size, x, count) => {
  const result = rotate(b, size, x, count, true);
  return { result, flags: () => leftFlags(b, size, result, bit0(b, result)) };
};

const rotateRight: Operation = (b, size, x, count) => {
  const result = rotate(b, size, x, count, false);
  return { result, flags: () => rightFlags(b, size, result, topBit(b, result, size)) };
};

/** Count of a rotation through CF, below the number of bits that take part. */
function carryCount(b: InstructionBuilder, size: Width, count: Value): Value {
  return size < 4 ? b.op('i64.rem_u', count, b.i64(size * 8 + 1)) : count;
}

const rotateCarryLeft: Operation = (b, size, x, count) => {
  const carryIn = b.extendU(b.flag('cf'));
  const bits = size * 8;
  if (size === 8) {
    const right = b.shrU(b.shrU(x, b.i64(1)), b.sub(b.i64(64), count));
    const turned = b.or(b.or(b.shl(x, count), b.shl(carryIn, b.sub(count, b.i64(1)))), right);
    const result = b.select(b.eqz(count), x, turned);
    const carry = () => bit0(b, b.shrU(x, b.sub(b.i64(64), count)));
    return { result, flags: () => leftFlags(b, size, result, carry()) };
  }
  const n = carryCount(b, size, count);
  const wide = b.or(x, b.shl(carryIn, b.i64(bits)));
  const result = b.or(b.shl(wide, n), b.shrU(wide, b.sub(b.i64(bits + 1), n)));
  return { result, flags: () => leftFlags(b, size, result, bit0(b, b.shrU(result, b.i64(bits)))) };
};

const rotateCarryRight: Operation = (b, size, x, count) => {
  const carryIn = b.extendU(b.flag('cf'));
  const bits = size * 8;
  if (size === 8) {
    const left = b.shl(b.or(b.shl(x, b.i64(1)), carryIn), b.sub(b.i64(64), count));
    const result = b.select(b.eqz(count), x, b.or(b.shrU(x, count), left));
    return { result, flags: () => rightFlags(b, size, result, lastRight(b, x, count)) };
  }
  const n = carryCount(b, size, count);
  const wide = b.or(x, b.shl(carryIn, b.i64(bits)));
  const result = b.or(b.shrU(wide, n), b.shl(wide, b.sub(b.i64(bits + 1), n)));
  return { result, flags: () => rightFlags(b, size, result, bit0(b, b.shrU(result, b.i64(bits)))) };
};

function maskedCount(b: InstructionBuilder, size: Width, count: Operand): Value {
  return b.and(count.read(), b.i64(size === 8 ? 63 : 31));
}

/** The destination is written for a count of 0 too: a 32-bit register loses its upper half. */
function shiftBy(operation: Operation): Semantics {
  return (b, dst, source) => {
    const size = width(dst);
    const x = dst.modify();
    const count = maskedCount(b, size, source);
    const { result, flags } = operation(b, size, x, count);
    dst.write(result);
    ifNonZero(b, count, () => {
      const { carry, overflow } = flags();
      b.setFlags(size, result, carry, overflow);
    });
  };
}

function rotateBy(operation: Operation): Semantics {
  return (b, dst, source) => {
    const size = width(dst);
    const x = dst.modify();
    const count = maskedCount(b, size, source);
    const { result, flags } = operation(b, size, x, count);
    dst.write(result);
    ifNonZero(b, count, () => {
      const { carry, overflow } = flags();
      b.setCarryOverflow(carry, overflow);
    });
  };
}

/**
 * One definition for the form by 1 and one for the others, which may leave all flags as they are. `extensions`: values of
 * ModRM.reg.
 */
function group(name: string, extensions: readonly number[], semantics: Semantics, writes: string): Definition[] {
  const forms = (one: (n: number) => string[]) => extensions.flatMap(one);
  const undefinedBits = writes.includes('z') ? 'a' : '';
  const reads = name === 'rcl' || name === 'rcr' ? 'c' : '';
  return [
    {
      name,
      encodings: forms((n) => [`d0 /${n} Eb,1`, `d1 /${n} Ev,1`]),
      reads,
      writes,
      undefined: undefinedBits,
      semantics,
    },
    {
      name,
      encodings: forms((n) => [`c0 /${n} Eb,Ib`, `c1 /${n} Ev,Ib`, `d2 /${n} Eb,CL`, `d3 /${n} Ev,CL`]),
      // What may stay as it was is read, as far as a search for dead flags is concerned.
      reads: [...new Set(`${writes}${undefinedBits}${reads}`)].join(''),
      writes: writes.replace('o', ''),
      undefined: `o${undefinedBits}`,
      semantics,
    },
  ];
}

type DoubleOperation = (b: InstructionBuilder, size: Width, x: Value, y: Value, count: Value) => Outcome;

/**
 * The operand between two copies' worth of bits: a 16-bit count may pass 16, and processors then go on with the
 * destination's own bits.
 */
function tripled(b: InstructionBuilder, x: Value, y: Value): Value {
  return b.or(b.or(b.shl(x, b.i64(32)), b.shl(y, b.i64(16))), x);
}

const doubleLeft: DoubleOperation = (b, size, x, y, count) => {
  const bits = size * 8;
  if (size === 2) {
    const moved = b.shl(tripled(b, x, y), count);
    const result = b.shrU(moved, b.i64(32));
    return { result, flags: () => leftFlags(b, size, result, bit0(b, b.shrU(moved, b.i64(48)))) };
  }
  const into = b.shrU(b.shrU(y, b.i64(1)), b.sub(b.i64(bits - 1), count));
  const result = b.or(b.shl(x, count), into);
  return { result, flags: () => leftFlags(b, size, result, bit0(b, b.shrU(x, b.sub(b.i64(bits), count)))) };
};

const doubleRight: DoubleOperation = (b, size, x, y, count) => {
  if (size === 2) {
    const wide = tripled(b, x, y);
    const result = b.shrU(wide, count);
    return { result, flags: () => rightFlags(b, size, result, lastRight(b, wide, count)) };
  }
  const into = b.shl(b.shl(y, b.i64(1)), b.sub(b.i64(size * 8 - 1), count));
  const result = b.or(b.shrU(x, count), into);
  return { result, flags: () => rightFlags(b, size, result, lastRight(b, x, count)) };
};

function double(name: string, opcode: string, byCl: string, operation: DoubleOperation): Definition {
  return {
    name,
    encodings: [`0f ${opcode} /r Ev,Gv,Ib`, `0f ${byCl} /r Ev,Gv,CL`],
    reads: 'oszapc',
    writes: 'szpc',
    undefined: 'oa',
    semantics(b, dst, src, source) {
      const size = width(dst);
      const x = dst.modify();
      const y = src.read();
      const count = maskedCount(b, size, source);
      const { result, flags } = operation(b, size, x, y, count);
      dst.write(result);
      ifNonZero(b, count, () => {
        const { carry, overflow } = flags();
        b.setFlags(size, result, carry, overflow);
      });
    },
  };
}

export const shift = define([
  ...group('rol', [0], rotateBy(rotateLeft), 'oc'),
  ...group('ror', [1], rotateBy(rotateRight), 'oc'),
  ...group('rcl', [2], rotateBy(rotateCarryLeft), 'oc'),
  ...group('rcr', [3], rotateBy(rotateCarryRight), 'oc'),
  ...group('shl', [4, 6], shiftBy(shiftLeft), 'oszpc'),
  ...group('shr', [5], shiftBy(shiftRight), 'oszpc'),
  ...group('sar', [7], shiftBy(shiftArithmetic), 'oszpc'),
  double('shld', 'a4', 'a5', doubleLeft),
  double('shrd', 'ac', 'ad', doubleRight),
]);
