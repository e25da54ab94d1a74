/** Shuffles, unpacks, packs, duplicates and blends. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import {
  BYTE_INDEXES,
  constantOf,
  type Forms,
  fromHalves,
  half,
  lanes,
  mmxInstruction,
  native,
  packed,
  splat,
  type VectorOp,
  xmmOnly,
} from './common.ts';

/** `i8x16.shuffle` order that takes whole lanes of `bytes` bytes, numbered through both operands. */
function byteOrder(bytes: number, order: readonly number[]): number[] {
  return order.flatMap((lane) => BYTE_INDEXES.slice(0, bytes).map((i) => lane * bytes + i));
}

/** Interleaves the lanes of the low or high halves. */
function unpack(bytes: number, high: boolean): VectorOp {
  const count = 16 / bytes;
  const first = high ? count / 2 : 0;
  const order = Array.from({ length: count }, (_, i) => first + (i >> 1) + (i & 1 ? count : 0));
  return (b, x, y) => b.shuffle(x, y, byteOrder(bytes, order));
}

/** The high half of an MMX interleave is the upper half of the XMM interleave of low halves. */
function unpackHighMmx(name: string, opcode: string, bytes: number): Definition {
  return {
    name,
    encodings: [`np ${opcode} /r Pq,Qq`],
    unit: 'mmx',
    feature: 'mmx',
    semantics: (b, dst, src) =>
      mmxInstruction(b, dst, () => {
        const y = b.op('i64x2.splat', src.read());
        return half(b, unpack(bytes, false)(b, b.op('i64x2.splat', dst.read()), y), 1);
      }),
  };
}

const BASE: Forms = { mmx: 'mmx', sse: 'sse2' };

const unpacks: Definition[] = [
  ...packed('punpcklbw', '0f 60', BASE, unpack(1, false), { mmxOperands: 'Pq,Qd' }),
  ...packed('punpcklwd', '0f 61', BASE, unpack(2, false), { mmxOperands: 'Pq,Qd' }),
  ...packed('punpckldq', '0f 62', BASE, unpack(4, false), { mmxOperands: 'Pq,Qd' }),
  unpackHighMmx('punpckhbw', '0f 68', 1),
  unpackHighMmx('punpckhwd', '0f 69', 2),
  unpackHighMmx('punpckhdq', '0f 6a', 4),
  xmmOnly('punpckhbw', '66 0f 68', 'sse2', unpack(1, true)),
  xmmOnly('punpckhwd', '66 0f 69', 'sse2', unpack(2, true)),
  xmmOnly('punpckhdq', '66 0f 6a', 'sse2', unpack(4, true)),
  xmmOnly('punpcklqdq', '66 0f 6c', 'sse2', unpack(8, false)),
  xmmOnly('punpckhqdq', '66 0f 6d', 'sse2', unpack(8, true)),
  xmmOnly('unpcklps', 'np 0f 14', 'sse', unpack(4, false)),
  xmmOnly('unpckhps', 'np 0f 15', 'sse', unpack(4, true)),
  xmmOnly('unpcklpd', '66 0f 14', 'sse2', unpack(8, false)),
  xmmOnly('unpckhpd', '66 0f 15', 'sse2', unpack(8, true)),
];

const packs: Definition[] = [
  ...packed('packsswb', '0f 63', BASE, native('i8x16.narrow_i16x8_s'), { joins: true }),
  ...packed('packuswb', '0f 67', BASE, native('i8x16.narrow_i16x8_u'), { joins: true }),
  ...packed('packssdw', '0f 6b', BASE, native('i16x8.narrow_i32x4_s'), { joins: true }),
  xmmOnly('packusdw', '66 0f 38 2b', 'sse4.1', native('i16x8.narrow_i32x4_u')),
];

/** Two bits of an immediate for each of four lanes: their numbers, when it is known. */
const fields = (immediate: number): number[] => [0, 2, 4, 6].map((at) => (immediate >> at) & 3);

/** Swizzle indexes of four 32-bit lanes chosen by two bits of an immediate (i32) each. */
function dwordIndexes(b: Builder, immediate: Value): Value {
  // Multiplying brings each lane's field to bits 6 and 7.
  const aligned = b.op('i32x4.mul', b.op('i32x4.splat', immediate), lanes(b, 32, [64, 16, 4, 1]));
  const field = b.op('v128.and', b.op('i32x4.shr_u', aligned, b.i32(6)), splat(b, 32, 3));
  return b.op('i32x4.add', b.op('i32x4.mul', field, splat(b, 32, 0x04040404)), splat(b, 32, 0x03020100));
}

/** As `dwordIndexes` for the 16-bit lanes of one half; the other half stays as it is. */
function wordIndexes(b: Builder, immediate: Value, high: boolean): Value {
  const weights = [64, 16, 4, 1];
  const none = [0, 0, 0, 0];
  const aligned = b.op(
    'i16x8.mul',
    b.op('i16x8.splat', immediate),
    lanes(b, 16, high ? [...none, ...weights] : [...weights, ...none]),
  );
  const field = b.op('v128.and', b.op('i16x8.shr_u', aligned, b.i32(6)), splat(b, 16, 3));
  const lane = (i: number) => (2 * i + 1) * 256 + 2 * i;
  const base = high ? [0, 1, 2, 3, 4, 4, 4, 4].map(lane) : [0, 0, 0, 0, 4, 5, 6, 7].map(lane);
  return b.op('i16x8.add', b.op('i16x8.mul', field, splat(b, 16, 0x0202)), lanes(b, 16, base));
}

function shuffleDwords(b: InstructionBuilder, x: Value, immediate: Value): Value {
  const known = constantOf(immediate);
  if (known !== undefined) return b.shuffle(x, x, byteOrder(4, fields(known)));
  return b.op('i8x16.swizzle', x, dwordIndexes(b, b.wrap(immediate)));
}

function shuffleWords(b: InstructionBuilder, x: Value, immediate: Value, high: boolean): Value {
  const known = constantOf(immediate);
  if (known === undefined) return b.op('i8x16.swizzle', x, wordIndexes(b, b.wrap(immediate), high));
  const chosen = fields(known);
  const order = high ? [0, 1, 2, 3, ...chosen.map((i) => i + 4)] : [...chosen, 4, 5, 6, 7];
  return b.shuffle(x, x, byteOrder(2, order));
}

/** Two lanes of `x`, then two of `y`. */
function shuffleSingles(b: InstructionBuilder, x: Value, y: Value, immediate: Value): Value {
  const known = constantOf(immediate);
  if (known !== undefined) {
    const [i, j, k, l] = fields(known) as [number, number, number, number];
    return b.shuffle(x, y, byteOrder(4, [i, j, k + 4, l + 4]));
  }
  const indexes = dwordIndexes(b, b.wrap(immediate));
  return b.shuffle(b.op('i8x16.swizzle', x, indexes), b.op('i8x16.swizzle', y, indexes), byteOrder(8, [0, 3]));
}

/** One half of `x`, then one of `y`. */
function shuffleDoubles(b: InstructionBuilder, x: Value, y: Value, immediate: Value): Value {
  const known = constantOf(immediate);
  if (known !== undefined) return b.shuffle(x, y, byteOrder(8, [known & 1, 2 + ((known >> 1) & 1)]));
  const choose = (v: Value, bit: number) =>
    b.select(b.wrap(b.and(immediate, b.i64(bit))), half(b, v, 1), half(b, v, 0));
  return fromHalves(b, choose(x, 1), choose(y, 2));
}

/** Bytes of `x`:`y` (`y` low) from byte `immediate` on. */
function alignRight(b: InstructionBuilder, x: Value, y: Value, immediate: Value): Value {
  const known = constantOf(immediate);
  if (known !== undefined) {
    const zero = b.v128(0n, 0n);
    const [low, high, first] = known < 16 ? [y, x, known] : [x, zero, Math.min(known - 16, 16)];
    return b.shuffle(
      low,
      high,
      BYTE_INDEXES.map((i) => i + first),
    );
  }
  // Saturation and wrapping both give indexes from 16 up, which select zero.
  const moved = b.op('i8x16.add_sat_u', lanes(b, 8, BYTE_INDEXES), b.op('i8x16.splat', b.wrap(immediate)));
  const upper = b.op('i8x16.sub', moved, splat(b, 8, 16));
  return b.op('v128.or', b.op('i8x16.swizzle', y, moved), b.op('i8x16.swizzle', x, upper));
}

/** An instruction `Vdq,Wdq,Ib` whose result does not depend on its destination. */
function shuffleOf(
  name: string,
  prefix: string,
  op: (b: InstructionBuilder, x: Value, immediate: Value) => Value,
): Definition {
  return {
    name,
    encodings: [`${prefix} 0f 70 /r Vdq,Wdq,Ib`],
    unit: 'sse',
    feature: 'sse2',
    semantics: (b, dst, src, immediate) => dst.writeVector(op(b, src.readVector(), immediate.read())),
  };
}

/** An instruction `Vdq,Wdq,Ib` of both operands. */
function withImmediate(
  name: string,
  opcode: string,
  feature: string,
  op: (b: InstructionBuilder, x: Value, y: Value, immediate: Value) => Value,
): Definition {
  return {
    name,
    encodings: [`${opcode} /r Vdq,Wdq,Ib`],
    unit: 'sse',
    feature,
    semantics: (b, dst, src, immediate) => {
      const y = src.readVector();
      dst.writeVector(op(b, dst.readVector(), y, immediate.read()));
    },
  };
}

function mmxShuffle(b: InstructionBuilder, dst: Operand, src: Operand, immediate: Operand): void {
  mmxInstruction(b, dst, () => half(b, shuffleWords(b, b.op('i64x2.splat', src.read()), immediate.read(), false), 0));
}

function mmxAlign(b: InstructionBuilder, dst: Operand, src: Operand, immediate: Operand): void {
  mmxInstruction(b, dst, () => {
    const both = fromHalves(b, src.read(), dst.read());
    return half(b, alignRight(b, b.v128(0n, 0n), both, immediate.read()), 0);
  });
}

/** PSHUFB: an index with bit 7 set gives zero, otherwise only its low bits count. */
const shuffleBytes =
  (mask: number): VectorOp =>
  (b, x, y) =>
    b.op('i8x16.swizzle', x, b.op('v128.and', y, splat(b, 8, mask)));

const shuffles: Definition[] = [
  {
    name: 'pshufw',
    encodings: ['np 0f 70 /r Pq,Qq,Ib'],
    unit: 'mmx',
    feature: 'sse',
    semantics: mmxShuffle,
  },
  shuffleOf('pshufd', '66', shuffleDwords),
  shuffleOf('pshuflw', 'f2', (b, x, immediate) => shuffleWords(b, x, immediate, false)),
  shuffleOf('pshufhw', 'f3', (b, x, immediate) => shuffleWords(b, x, immediate, true)),
  withImmediate('shufps', 'np 0f c6', 'sse', shuffleSingles),
  withImmediate('shufpd', '66 0f c6', 'sse2', shuffleDoubles),
  { name: 'palignr', encodings: ['np 0f 3a 0f /r Pq,Qq,Ib'], unit: 'mmx', feature: 'ssse3', semantics: mmxAlign },
  withImmediate('palignr', '66 0f 3a 0f', 'ssse3', alignRight),
  ...packed('pshufb', '0f 38 00', { mmx: 'ssse3' }, shuffleBytes(0x87)),
  ...packed('pshufb', '0f 38 00', { sse: 'ssse3' }, shuffleBytes(0x8f)),
  xmmOnly('movsldup', 'f3 0f 12', 'sse3', (b, _x, y) => b.shuffle(y, y, byteOrder(4, [0, 0, 2, 2]))),
  xmmOnly('movshdup', 'f3 0f 16', 'sse3', (b, _x, y) => b.shuffle(y, y, byteOrder(4, [1, 1, 3, 3]))),
  {
    name: 'movddup',
    encodings: ['f2 0f 12 /r Vdq,Wq'],
    unit: 'sse',
    feature: 'sse3',
    semantics: (b, dst, src) => dst.writeVector(b.op('i64x2.splat', src.read())),
  },
];

/** Lanes of `y` where the immediate has their bit, else of `x`. */
function blendBy(shape: string, bits: 16 | 32 | 64): (b: InstructionBuilder, x: Value, y: Value, i: Value) => Value {
  const weights = Array.from({ length: 128 / bits }, (_, i) => 1 << i);
  return (b, x, y, immediate) => {
    const known = constantOf(immediate);
    if (known !== undefined) {
      const order = weights.map((weight, i) => (known & weight ? i + weights.length : i));
      return b.shuffle(x, y, byteOrder(bits / 8, order));
    }
    const spread = b.op(`${shape}.splat`, bits === 64 ? immediate : b.wrap(immediate));
    const weight = lanes(b, bits, weights);
    return b.op('v128.bitselect', y, x, b.op(`${shape}.eq`, b.op('v128.and', spread, weight), weight));
  };
}

/** Lanes of `y` where XMM0 is negative, else of `x`. */
function variableBlend(name: string, opcode: string, mask: (b: Builder, selector: Value) => Value): Definition {
  return {
    name,
    encodings: [`66 0f 38 ${opcode} /r Vdq,Wdq,XMM0`],
    unit: 'sse',
    feature: 'sse4.1',
    semantics: (b, dst, src, selector) => {
      const y = src.readVector();
      dst.writeVector(b.op('v128.bitselect', y, dst.readVector(), mask(b, selector.readVector())));
    },
  };
}

const blends: Definition[] = [
  withImmediate('blendps', '66 0f 3a 0c', 'sse4.1', blendBy('i32x4', 32)),
  withImmediate('blendpd', '66 0f 3a 0d', 'sse4.1', blendBy('i64x2', 64)),
  withImmediate('pblendw', '66 0f 3a 0e', 'sse4.1', blendBy('i16x8', 16)),
  variableBlend('pblendvb', '10', (b, m) => b.op('i8x16.lt_s', m, b.v128(0n, 0n))),
  variableBlend('blendvps', '14', (b, m) => b.op('i32x4.shr_s', m, b.i32(31))),
  variableBlend('blendvpd', '15', (b, m) => b.op('i64x2.shr_s', m, b.i32(63))),
];

export const shuffle: readonly Definition[] = [...unpacks, ...packs, ...shuffles, ...blends];
