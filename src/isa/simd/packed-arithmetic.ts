/** Packed integer addition, subtraction, multiplication, averages, extrema, comparison and logic. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { everyOther, type Forms, native, packed, splat, unary, type VectorOp, xmmOnly } from './common.ts';

const BASE: Forms = { mmx: 'mmx', sse: 'sse2' };
/** MMX forms that came with SSE. */
const EXTENDED: Forms = { mmx: 'sse', sse: 'sse2' };
const SSE2: Forms = { mmx: 'sse2', sse: 'sse2' };
const SSSE3: Forms = { mmx: 'ssse3', sse: 'ssse3' };
const SSE41: Forms = { sse: 'sse4.1' };
const SSE42: Forms = { sse: 'sse4.2' };

/** The upper 16 bits of the products of 16-bit lanes. */
const multiplyHigh =
  (sign: 's' | 'u'): VectorOp =>
  (b, x, y) => {
    const low = b.op(`i32x4.extmul_low_i16x8_${sign}`, x, y);
    const high = b.op(`i32x4.extmul_high_i16x8_${sign}`, x, y);
    return everyOther(b, 2, 1, low, high);
  };

/** Products of the even 32-bit lanes. */
const multiplyEven =
  (sign: 's' | 'u'): VectorOp =>
  (b, x, y) =>
    b.op(`i64x2.extmul_low_i32x4_${sign}`, everyOther(b, 4, 0, x, x), everyOther(b, 4, 0, y, y));

/** Sums of absolute differences of unsigned bytes, one for each half. */
const sumOfDifferences: VectorOp = (b, x, y) => {
  const difference = b.op('v128.or', b.op('i8x16.sub_sat_u', x, y), b.op('i8x16.sub_sat_u', y, x));
  const words = b.op('i16x8.extadd_pairwise_i8x16_u', difference);
  const dwords = b.op('i32x4.extadd_pairwise_i16x8_u', words);
  const sums = b.op('i64x2.add', dwords, b.op('i64x2.shr_u', dwords, b.i32(32)));
  return b.op('v128.and', sums, splat(b, 64, 0xffff));
};

/** Unsigned bytes of `x` times signed bytes of `y`, neighbouring products added with saturation. */
const multiplyAddBytes: VectorOp = (b, x, y) => {
  const eight = b.i32(8);
  const even = b.op(
    'i16x8.mul',
    b.op('v128.and', x, splat(b, 16, 0xff)),
    b.op('i16x8.shr_s', b.op('i16x8.shl', y, eight), eight),
  );
  const odd = b.op('i16x8.mul', b.op('i16x8.shr_u', x, eight), b.op('i16x8.shr_s', y, eight));
  return b.op('i16x8.add_sat_s', even, odd);
};

/** Rounded high product; -1 * -1 wraps to -1, where WebAssembly saturates. */
const multiplyRounded: VectorOp = (b, x, y) => {
  const least = splat(b, 16, 0x8000);
  const wraps = b.op('v128.and', b.op('i16x8.eq', x, least), b.op('i16x8.eq', y, least));
  return b.op('v128.xor', b.op('i16x8.q15mulr_sat_s', x, y), wraps);
};

/** Lanes of `x` negated where `y` is negative and cleared where it is zero. */
const sign =
  (shape: string, bits: number): VectorOp =>
  (b, x, y) => {
    const negative = b.op(`${shape}.shr_s`, y, b.i32(bits - 1));
    const signed = b.op(`${shape}.sub`, b.op('v128.xor', x, negative), negative);
    return b.op('v128.andnot', signed, b.op(`${shape}.eq`, y, b.v128(0n, 0n)));
  };

/** Sums or differences of neighbouring lanes. */
function horizontal(bytes: 2 | 4, op: string): VectorOp {
  return (b, x, y) => b.op(op, everyOther(b, bytes, 0, x, y), everyOther(b, bytes, 1, x, y));
}

/** One lane of `PHMINPOSUW`: value above index, so that the least is the first of the smallest. */
function positioned(b: Builder, x: Value, lane: number): Value {
  return b.or(b.shl(b.lane('i16x8.extract_lane_u', lane, x), b.i32(3)), b.i32(lane));
}

const minimumPosition: VectorOp = (b, _x, y) => {
  let least = positioned(b, y, 0);
  for (let lane = 1; lane < 8; lane++) {
    const other = positioned(b, y, lane);
    least = b.select(b.ltU(other, least), other, least);
  }
  const index = b.shl(b.and(least, b.i32(7)), b.i32(16));
  return b.lane('i32x4.replace_lane', 0, b.v128(0n, 0n), b.or(b.shrU(least, b.i32(3)), index));
};

const SHAPES = { b: 'i8x16', w: 'i16x8', d: 'i32x4', q: 'i64x2' } as const;

/** Rows of mnemonic, opcode, WebAssembly operation. */
function rows(forms: Forms, table: readonly (readonly [string, string, string])[]): Definition[] {
  return table.flatMap(([name, opcode, op]) => packed(name, opcode, forms, native(op)));
}

const addition = [
  ...rows(BASE, [
    ['paddb', '0f fc', 'i8x16.add'],
    ['paddw', '0f fd', 'i16x8.add'],
    ['paddd', '0f fe', 'i32x4.add'],
    ['paddsb', '0f ec', 'i8x16.add_sat_s'],
    ['paddsw', '0f ed', 'i16x8.add_sat_s'],
    ['paddusb', '0f dc', 'i8x16.add_sat_u'],
    ['paddusw', '0f dd', 'i16x8.add_sat_u'],
    ['psubb', '0f f8', 'i8x16.sub'],
    ['psubw', '0f f9', 'i16x8.sub'],
    ['psubd', '0f fa', 'i32x4.sub'],
    ['psubsb', '0f e8', 'i8x16.sub_sat_s'],
    ['psubsw', '0f e9', 'i16x8.sub_sat_s'],
    ['psubusb', '0f d8', 'i8x16.sub_sat_u'],
    ['psubusw', '0f d9', 'i16x8.sub_sat_u'],
  ]),
  ...rows(SSE2, [
    ['paddq', '0f d4', 'i64x2.add'],
    ['psubq', '0f fb', 'i64x2.sub'],
  ]),
  ...packed('phaddw', '0f 38 01', SSSE3, horizontal(2, 'i16x8.add'), { joins: true }),
  ...packed('phaddd', '0f 38 02', SSSE3, horizontal(4, 'i32x4.add'), { joins: true }),
  ...packed('phaddsw', '0f 38 03', SSSE3, horizontal(2, 'i16x8.add_sat_s'), { joins: true }),
  ...packed('phsubw', '0f 38 05', SSSE3, horizontal(2, 'i16x8.sub'), { joins: true }),
  ...packed('phsubd', '0f 38 06', SSSE3, horizontal(4, 'i32x4.sub'), { joins: true }),
  ...packed('phsubsw', '0f 38 07', SSSE3, horizontal(2, 'i16x8.sub_sat_s'), { joins: true }),
];

const multiplication = [
  ...rows(BASE, [
    ['pmullw', '0f d5', 'i16x8.mul'],
    ['pmaddwd', '0f f5', 'i32x4.dot_i16x8_s'],
  ]),
  ...packed('pmulhw', '0f e5', BASE, multiplyHigh('s')),
  ...packed('pmulhuw', '0f e4', EXTENDED, multiplyHigh('u')),
  ...packed('pmuludq', '0f f4', SSE2, multiplyEven('u')),
  ...packed('pmuldq', '0f 38 28', SSE41, multiplyEven('s')),
  ...packed('pmulld', '0f 38 40', SSE41, native('i32x4.mul')),
  ...packed('pmaddubsw', '0f 38 04', SSSE3, multiplyAddBytes),
  ...packed('pmulhrsw', '0f 38 0b', SSSE3, multiplyRounded),
];

const extrema = [
  ...rows(EXTENDED, [
    ['pavgb', '0f e0', 'i8x16.avgr_u'],
    ['pavgw', '0f e3', 'i16x8.avgr_u'],
    ['pminub', '0f da', 'i8x16.min_u'],
    ['pmaxub', '0f de', 'i8x16.max_u'],
    ['pminsw', '0f ea', 'i16x8.min_s'],
    ['pmaxsw', '0f ee', 'i16x8.max_s'],
  ]),
  ...rows(SSE41, [
    ['pminsb', '0f 38 38', 'i8x16.min_s'],
    ['pminsd', '0f 38 39', 'i32x4.min_s'],
    ['pminuw', '0f 38 3a', 'i16x8.min_u'],
    ['pminud', '0f 38 3b', 'i32x4.min_u'],
    ['pmaxsb', '0f 38 3c', 'i8x16.max_s'],
    ['pmaxsd', '0f 38 3d', 'i32x4.max_s'],
    ['pmaxuw', '0f 38 3e', 'i16x8.max_u'],
    ['pmaxud', '0f 38 3f', 'i32x4.max_u'],
  ]),
  ...packed('psadbw', '0f f6', EXTENDED, sumOfDifferences),
  ...packed('phminposuw', '0f 38 41', SSE41, minimumPosition),
  ...packed('pabsb', '0f 38 1c', SSSE3, unary('i8x16.abs')),
  ...packed('pabsw', '0f 38 1d', SSSE3, unary('i16x8.abs')),
  ...packed('pabsd', '0f 38 1e', SSSE3, unary('i32x4.abs')),
  ...packed('psignb', '0f 38 08', SSSE3, signBytes),
  ...packed('psignw', '0f 38 09', SSSE3, sign(SHAPES.w, 16)),
  ...packed('psignd', '0f 38 0a', SSSE3, sign(SHAPES.d, 32)),
];

/** As `sign`; a comparison is cheaper than a shift of bytes. */
function signBytes(b: Builder, x: Value, y: Value): Value {
  const zero = b.v128(0n, 0n);
  const negative = b.op('i8x16.lt_s', y, zero);
  const signed = b.op('i8x16.sub', b.op('v128.xor', x, negative), negative);
  return b.op('v128.andnot', signed, b.op('i8x16.eq', y, zero));
}

const comparison = [
  ...rows(BASE, [
    ['pcmpeqb', '0f 74', 'i8x16.eq'],
    ['pcmpeqw', '0f 75', 'i16x8.eq'],
    ['pcmpeqd', '0f 76', 'i32x4.eq'],
    ['pcmpgtb', '0f 64', 'i8x16.gt_s'],
    ['pcmpgtw', '0f 65', 'i16x8.gt_s'],
    ['pcmpgtd', '0f 66', 'i32x4.gt_s'],
  ]),
  ...packed('pcmpeqq', '0f 38 29', SSE41, native('i64x2.eq')),
  ...packed('pcmpgtq', '0f 38 37', SSE42, native('i64x2.gt_s')),
];

const andNot: VectorOp = (b, x, y) => b.op('v128.andnot', y, x);

const logic = [
  ...rows(BASE, [
    ['pand', '0f db', 'v128.and'],
    ['por', '0f eb', 'v128.or'],
    ['pxor', '0f ef', 'v128.xor'],
  ]),
  ...packed('pandn', '0f df', BASE, andNot),
  ...(['ps', 'pd'] as const).flatMap((type) => {
    const prefix = type === 'ps' ? 'np' : '66';
    const feature = type === 'ps' ? 'sse' : 'sse2';
    return [
      xmmOnly(`and${type}`, `${prefix} 0f 54`, feature, native('v128.and')),
      xmmOnly(`andn${type}`, `${prefix} 0f 55`, feature, andNot),
      xmmOnly(`or${type}`, `${prefix} 0f 56`, feature, native('v128.or')),
      xmmOnly(`xor${type}`, `${prefix} 0f 57`, feature, native('v128.xor')),
    ];
  }),
];

export const packedArithmetic: readonly Definition[] = [
  ...addition,
  ...multiplication,
  ...extrema,
  ...comparison,
  ...logic,
];
