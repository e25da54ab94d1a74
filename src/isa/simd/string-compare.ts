/** PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM vol. 2B 4.1, "Imm8 control byte operation"). */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';
import { BYTE_INDEXES, immediateByte, lanes, lowHalf } from './common.ts';

/** Elements of one size: bytes or words. */
interface Elements {
  readonly shape: 'i8x16' | 'i16x8';
  readonly bits: 8 | 16;
  readonly count: 16 | 8;
}

const BYTES: Elements = { shape: 'i8x16', bits: 8, count: 16 };
const WORDS: Elements = { shape: 'i16x8', bits: 16, count: 8 };

/** The comparison at hand: operands, their lengths in elements (i32), and what follows from those. */
interface Comparison {
  readonly b: Builder;
  readonly e: Elements;
  readonly x: Value;
  readonly y: Value;
  readonly xLength: Value;
  readonly yLength: Value;
}

/** Element `index` (i32) of a vector in every lane. */
function broadcast(b: Builder, e: Elements, v: Value, index: Value): Value {
  if (e.bits === 8) return b.op('i8x16.swizzle', v, b.op('i8x16.splat', index));
  const order = b.add(b.mul(index, b.i32(0x0202)), b.i32(0x0100));
  return b.op('i8x16.swizzle', v, b.op('i16x8.splat', order));
}

/** Bits below `length`: the valid elements. */
function validBits(b: Builder, length: Value): Value {
  return b.sub(b.shl(b.i32(1), length), b.i32(1));
}

const bitmask = (c: Comparison, v: Value): Value => c.b.op(`${c.e.shape}.bitmask`, v);

/** Runs `step` for the elements of the first operand, `stride` at a time. */
function overFirst(c: Comparison, stride: number, step: (index: Value) => void): void {
  const { b } = c;
  const index = b.variable('i32', b.i32(0));
  b.block((end) => {
    b.loop((again) => {
      // An odd last element has no partner in `ranges`.
      b.branchIf(end, b.gtS(b.add(b.get(index), b.i32(stride)), c.xLength));
      step(b.get(index));
      b.set(index, b.add(b.get(index), b.i32(stride)));
      b.branch(again);
    });
  });
}

/** Elements of the second operand that are any of the first's. */
function equalAny(c: Comparison): Value {
  const { b, e } = c;
  const found = b.variable('v128', b.v128(0n, 0n));
  overFirst(c, 1, (i) => {
    const equal = b.op(`${e.shape}.eq`, c.y, broadcast(b, e, c.x, i));
    b.set(found, b.op('v128.or', b.get(found), equal));
  });
  return b.and(bitmask(c, b.get(found)), validBits(b, c.yLength));
}

/** Elements of the second operand inside any of the ranges whose ends are pairs of the first's. */
function ranges(c: Comparison, signed: Value): Value {
  const { b, e } = c;
  // Moving the sign makes signed order unsigned.
  const bias = b.op(`${e.shape}.splat`, b.select(signed, b.i32(1 << (e.bits - 1)), b.i32(0)));
  const y = b.op('v128.xor', c.y, bias);
  const x = b.op('v128.xor', c.x, bias);
  const found = b.variable('v128', b.v128(0n, 0n));
  overFirst(c, 2, (i) => {
    const above = b.op(`${e.shape}.ge_u`, y, broadcast(b, e, x, i));
    const below = b.op(`${e.shape}.le_u`, y, broadcast(b, e, x, b.add(i, b.i32(1))));
    b.set(found, b.op('v128.or', b.get(found), b.op('v128.and', above, below)));
  });
  return b.and(bitmask(c, b.get(found)), validBits(b, c.yLength));
}

/** Elements equal in both; those past both ends are equal too. */
function equalEach(c: Comparison): Value {
  const { b } = c;
  const equal = bitmask(c, b.op(`${c.e.shape}.eq`, c.x, c.y));
  const [xValid, yValid] = [validBits(b, c.xLength), validBits(b, c.yLength)];
  const ends = b.not(b.or(xValid, yValid));
  return b.and(b.or(b.and(equal, b.and(xValid, yValid)), ends), b.i32((1 << c.e.count) - 1));
}

/** Places of the second operand where the first begins; what lies beyond the register counts as equal. */
function equalOrdered(c: Comparison): Value {
  const { b, e } = c;
  const all = (1 << e.count) - 1;
  const found = b.variable('i32', b.i32(all));
  overFirst(c, 1, (i) => {
    const equal = b.and(bitmask(c, b.op(`${e.shape}.eq`, c.y, broadcast(b, e, c.x, i))), validBits(b, c.yLength));
    const beyond = b.shl(b.i32(all), b.i32(e.count));
    b.set(found, b.and(b.get(found), b.shrU(b.or(equal, beyond), i)));
  });
  return b.get(found);
}

/** The comparison that bits 3–2 of the immediate choose, then its polarity by bits 5–4. */
function compareElements(c: Comparison, immediate: Value): Value {
  const { b } = c;
  const aggregation = b.and(immediate, b.i32(12));
  const result = b.variable('i32');
  const choose = (value: number, compute: () => Value, otherwise: () => void) =>
    b.if(b.eq(aggregation, b.i32(value)), () => b.set(result, compute()), otherwise);
  choose(
    0,
    () => equalAny(c),
    () =>
      choose(
        4,
        () => ranges(c, b.and(immediate, b.i32(2))),
        () =>
          choose(
            8,
            () => equalEach(c),
            () => b.set(result, equalOrdered(c)),
          ),
      ),
  );
  const all = b.i32((1 << c.e.count) - 1);
  const negated = b.select(b.and(immediate, b.i32(32)), validBits(b, c.yLength), all);
  return b.xor(b.get(result), b.select(b.and(immediate, b.i32(16)), negated, b.i32(0)));
}

/** `string_compare (x, y, length of x, length of y, immediate)`: a bit for each element of `y`. */
const compare = routine(
  'string_compare',
  ['v128', 'v128', 'i32', 'i32', 'i32'],
  'i32',
  (b, _cpu, x, y, xLength, yLength, immediate) => {
    const whole = { b, x, y, xLength, yLength };
    b.if(b.and(immediate, b.i32(1)), () => b.return(compareElements({ ...whole, e: WORDS }, immediate)));
    b.return(compareElements({ ...whole, e: BYTES }, immediate));
  },
);

/** `string_length (v, words)`: elements before the first zero. */
const length = routine('string_length', ['v128', 'i32'], 'i32', (b, _cpu, v, words) => {
  const zero = b.v128(0n, 0n);
  const found = (e: Elements) => b.op(`${e.shape}.bitmask`, b.op(`${e.shape}.eq`, v, zero));
  b.if(words, () => b.return(b.ctz(b.or(found(WORDS), b.i32(1 << WORDS.count)))));
  b.return(b.ctz(b.or(found(BYTES), b.i32(1 << BYTES.count))));
});

/** `string_mask (result, immediate)`: the result as a mask of bits, or with bit 6 of elements. */
const mask = routine('string_mask', ['i32', 'i32'], 'v128', (b, _cpu, result, immediate) => {
  b.if(b.eqz(b.and(immediate, b.i32(64))), () => b.return(lowHalf(b, b.extendU(result))));
  const expand = (e: Elements) => {
    const weights = lanes(
      b,
      e.bits,
      Array.from({ length: e.count }, (_, i) => 1 << (i & 7)),
    );
    const high = b.shuffle(b.op('i8x16.splat', result), b.op('i8x16.splat', b.shrU(result, b.i32(8))), HALVES);
    const spread = e.bits === 8 ? high : b.op('i16x8.splat', result);
    b.return(b.op(`${e.shape}.eq`, b.op('v128.and', spread, weights), weights));
  };
  b.if(b.and(immediate, b.i32(1)), () => expand(WORDS));
  expand(BYTES);
});

/** Low half of the first vector, high half of the second. */
const HALVES = BYTE_INDEXES.map((i) => (i < 8 ? i : 16 + i));

/** `string_index (result, immediate)`: of the lowest set bit, or with bit 6 the highest; the count where there is none. */
const index = routine('string_index', ['i32', 'i32'], 'i32', (b, _cpu, result, immediate) => {
  const count = b.shrU(b.i32(16), b.and(immediate, b.i32(1)));
  b.if(b.eqz(result), () => b.return(count));
  b.return(b.select(b.and(immediate, b.i32(64)), b.sub(b.i32(31), b.clz(result)), b.ctz(result)));
});

export const stringCompareRoutines: readonly Helper[] = [compare, length, mask, index];

/** The magnitude of EAX or EDX (RAX, RDX with REX.W), at most the number of elements. */
function explicitLength(b: InstructionBuilder, register: number, count: Value): Value {
  const size: Width = b.operandSize === 8 ? 8 : 4;
  const value = b.signExtend(b.gpr(register, size), size);
  const magnitude = b.select(b.ltS(value, b.i64(0)), b.neg(value), value);
  return b.select(b.ltU(magnitude, b.extendU(count)), b.wrap(magnitude), count);
}

function stringCompare(b: InstructionBuilder, first: Operand, second: Operand, immediate: Operand, how: Form): void {
  const y = second.readVector(true);
  const x = first.readVector();
  const control = immediateByte(b, immediate);
  const words = b.and(control, b.i32(1));
  const count = b.shrU(b.i32(16), words);
  const lengthOf = (v: Value, register: number) =>
    how.explicit ? explicitLength(b, register, count) : b.helper('string_length', v, words);
  const [xLength, yLength] = [lengthOf(x, GPR.rax), lengthOf(y, GPR.rdx)];
  const result = b.helper('string_compare', x, y, xLength, yLength, control);
  if (how.mask) b.setXmm(0, b.helper('string_mask', result, control));
  else b.setGpr(GPR.rcx, b.extendU(b.helper('string_index', result, control)));
  const at = (condition: Value, bit: number) => b.shl(condition, b.i32(bit));
  const carry = b.op('i32.ne', result, b.i32(0));
  const zeroAndSign = b.or(at(b.ltS(yLength, count), 6), at(b.ltS(xLength, count), 7));
  const overflow = at(b.and(result, b.i32(1)), 11);
  b.setStatusFlags(b.or(b.or(carry, overflow), zeroAndSign));
}

interface Form {
  readonly explicit: boolean;
  readonly mask: boolean;
}

function definition(name: string, opcode: number, how: Form): Definition {
  return {
    name,
    encodings: [`66 0f 3a ${opcode} /r Vdq,Wdq,Ib`],
    unit: 'sse',
    feature: 'sse4.2',
    writes: 'oszapc',
    semantics: (b, first, second, immediate) => stringCompare(b, first, second, immediate, how),
  };
}

export const stringComparison: readonly Definition[] = [
  definition('pcmpestrm', 60, { explicit: true, mask: true }),
  definition('pcmpestri', 61, { explicit: true, mask: false }),
  definition('pcmpistrm', 62, { explicit: false, mask: true }),
  definition('pcmpistri', 63, { explicit: false, mask: false }),
];
