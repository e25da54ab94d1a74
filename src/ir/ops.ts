/**
 * The pure operations of the IR: WebAssembly's numeric and SIMD instructions, under their standard names, with their
 * operand types, result type and encoding (WebAssembly core specification, section 5.4).
 */
import type { Fold } from './fold.ts';
import type { Type } from './types.ts';

export interface PureOp {
  readonly name: string;
  readonly params: readonly Type[];
  readonly result: Type;
  /** Opcode bytes, without immediates. */
  readonly code: readonly number[];
  /** An immediate lane index follows the opcode. */
  readonly lane: boolean;
  /** Integer operations that may reduce to something simpler get theirs from `fold.ts`. */
  fold: Fold | undefined;
}

const OPS = new Map<string, PureOp>();

function add(names: string, first: number, params: readonly Type[], result: Type): void {
  names.split(' ').forEach((name, i) => {
    if (name !== '-') OPS.set(name, { name, params, result, code: [first + i], lane: false, fold: undefined });
  });
}

function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, value >> 7];
}

function simd(names: string, first: number, params: readonly Type[], result: Type, lane = false): void {
  names.split(' ').forEach((name, i) => {
    if (name !== '-') OPS.set(name, { name, params, result, code: [0xfd, ...leb(first + i)], lane, fold: undefined });
  });
}

const prefixed = (type: string, names: string): string =>
  names
    .split(' ')
    .map((n) => (n === '-' ? n : `${type}.${n}`))
    .join(' ');

const COMPARE = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u';
const INT = 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr';
const FLOAT_COMPARE = 'eq ne lt gt le ge';
const FLOAT_UNARY = 'abs neg ceil floor trunc nearest sqrt';
const FLOAT = 'add sub mul div min max copysign';

add('i32.eqz', 0x45, ['i32'], 'i32');
add(prefixed('i32', COMPARE), 0x46, ['i32', 'i32'], 'i32');
add('i64.eqz', 0x50, ['i64'], 'i32');
add(prefixed('i64', COMPARE), 0x51, ['i64', 'i64'], 'i32');
add(prefixed('f32', FLOAT_COMPARE), 0x5b, ['f32', 'f32'], 'i32');
add(prefixed('f64', FLOAT_COMPARE), 0x61, ['f64', 'f64'], 'i32');
add('i32.clz i32.ctz i32.popcnt', 0x67, ['i32'], 'i32');
add(prefixed('i32', INT), 0x6a, ['i32', 'i32'], 'i32');
add('i64.clz i64.ctz i64.popcnt', 0x79, ['i64'], 'i64');
add(prefixed('i64', INT), 0x7c, ['i64', 'i64'], 'i64');
add(prefixed('f32', FLOAT_UNARY), 0x8b, ['f32'], 'f32');
add(prefixed('f32', FLOAT), 0x92, ['f32', 'f32'], 'f32');
add(prefixed('f64', FLOAT_UNARY), 0x99, ['f64'], 'f64');
add(prefixed('f64', FLOAT), 0xa0, ['f64', 'f64'], 'f64');
add('i32.wrap_i64', 0xa7, ['i64'], 'i32');
add('i64.extend_i32_s i64.extend_i32_u', 0xac, ['i32'], 'i64');
add('f32.convert_i32_s f32.convert_i32_u', 0xb2, ['i32'], 'f32');
add('f32.convert_i64_s f32.convert_i64_u', 0xb4, ['i64'], 'f32');
add('f32.demote_f64', 0xb6, ['f64'], 'f32');
add('f64.convert_i32_s f64.convert_i32_u', 0xb7, ['i32'], 'f64');
add('f64.convert_i64_s f64.convert_i64_u', 0xb9, ['i64'], 'f64');
add('f64.promote_f32', 0xbb, ['f32'], 'f64');
add('i32.reinterpret_f32', 0xbc, ['f32'], 'i32');
add('i64.reinterpret_f64', 0xbd, ['f64'], 'i64');
add('f32.reinterpret_i32', 0xbe, ['i32'], 'f32');
add('f64.reinterpret_i64', 0xbf, ['i64'], 'f64');
add('i32.extend8_s i32.extend16_s', 0xc0, ['i32'], 'i32');
add('i64.extend8_s i64.extend16_s i64.extend32_s', 0xc2, ['i64'], 'i64');

function saturating(names: string, first: number, from: Type, to: Type): void {
  names.split(' ').forEach((name, i) => {
    OPS.set(name, { name, params: [from], result: to, code: [0xfc, first + i], lane: false, fold: undefined });
  });
}
saturating('i32.trunc_sat_f32_s i32.trunc_sat_f32_u', 0, 'f32', 'i32');
saturating('i32.trunc_sat_f64_s i32.trunc_sat_f64_u', 2, 'f64', 'i32');
saturating('i64.trunc_sat_f32_s i64.trunc_sat_f32_u', 4, 'f32', 'i64');
saturating('i64.trunc_sat_f64_s i64.trunc_sat_f64_u', 6, 'f64', 'i64');

const V: readonly Type[] = ['v128'];
const VV: readonly Type[] = ['v128', 'v128'];
const VS: readonly Type[] = ['v128', 'i32'];

simd('i8x16.swizzle', 14, VV, 'v128');
simd('i8x16.splat i16x8.splat i32x4.splat', 15, ['i32'], 'v128');
simd('i64x2.splat', 18, ['i64'], 'v128');
simd('f32x4.splat', 19, ['f32'], 'v128');
simd('f64x2.splat', 20, ['f64'], 'v128');
simd('i8x16.extract_lane_s i8x16.extract_lane_u', 21, V, 'i32', true);
simd('i8x16.replace_lane', 23, VS, 'v128', true);
simd('i16x8.extract_lane_s i16x8.extract_lane_u', 24, V, 'i32', true);
simd('i16x8.replace_lane', 26, VS, 'v128', true);
simd('i32x4.extract_lane', 27, V, 'i32', true);
simd('i32x4.replace_lane', 28, VS, 'v128', true);
simd('i64x2.extract_lane', 29, V, 'i64', true);
simd('i64x2.replace_lane', 30, ['v128', 'i64'], 'v128', true);
simd('f32x4.extract_lane', 31, V, 'f32', true);
simd('f32x4.replace_lane', 32, ['v128', 'f32'], 'v128', true);
simd('f64x2.extract_lane', 33, V, 'f64', true);
simd('f64x2.replace_lane', 34, ['v128', 'f64'], 'v128', true);
simd(prefixed('i8x16', COMPARE), 35, VV, 'v128');
simd(prefixed('i16x8', COMPARE), 45, VV, 'v128');
simd(prefixed('i32x4', COMPARE), 55, VV, 'v128');
simd(prefixed('f32x4', FLOAT_COMPARE), 65, VV, 'v128');
simd(prefixed('f64x2', FLOAT_COMPARE), 71, VV, 'v128');
simd('v128.not', 77, V, 'v128');
simd('v128.and v128.andnot v128.or v128.xor', 78, VV, 'v128');
simd('v128.bitselect', 82, ['v128', 'v128', 'v128'], 'v128');
simd('v128.any_true', 83, V, 'i32');
simd('f32x4.demote_f64x2_zero f64x2.promote_low_f32x4', 94, V, 'v128');
simd('i8x16.abs i8x16.neg i8x16.popcnt', 96, V, 'v128');
simd('i8x16.all_true i8x16.bitmask', 99, V, 'i32');
simd('i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u', 101, VV, 'v128');
simd('f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest', 103, V, 'v128');
simd('i8x16.shl i8x16.shr_s i8x16.shr_u', 107, VS, 'v128');
simd('i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s i8x16.sub_sat_u', 110, VV, 'v128');
simd('f64x2.ceil f64x2.floor', 116, V, 'v128');
simd('i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u', 118, VV, 'v128');
simd('f64x2.trunc', 122, V, 'v128');
simd('i8x16.avgr_u', 123, VV, 'v128');
simd('i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u', 124, V, 'v128');
simd('i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u', 126, V, 'v128');
simd('i16x8.abs i16x8.neg', 128, V, 'v128');
simd('i16x8.q15mulr_sat_s', 130, VV, 'v128');
simd('i16x8.all_true i16x8.bitmask', 131, V, 'i32');
simd('i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u', 133, VV, 'v128');
simd(
  'i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u i16x8.extend_high_i8x16_u',
  135,
  V,
  'v128',
);
simd('i16x8.shl i16x8.shr_s i16x8.shr_u', 139, VS, 'v128');
simd('i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub i16x8.sub_sat_s i16x8.sub_sat_u', 142, VV, 'v128');
simd('f64x2.nearest', 148, V, 'v128');
simd('i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u', 149, VV, 'v128');
simd('i16x8.avgr_u', 155, VV, 'v128');
simd(
  'i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u i16x8.extmul_high_i8x16_u',
  156,
  VV,
  'v128',
);
simd('i32x4.abs i32x4.neg', 160, V, 'v128');
simd('i32x4.all_true i32x4.bitmask', 163, V, 'i32');
simd(
  'i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u',
  167,
  V,
  'v128',
);
simd('i32x4.shl i32x4.shr_s i32x4.shr_u', 171, VS, 'v128');
simd('i32x4.add', 174, VV, 'v128');
simd('i32x4.sub', 177, VV, 'v128');
simd('i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u i32x4.dot_i16x8_s', 181, VV, 'v128');
simd(
  'i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u',
  188,
  VV,
  'v128',
);
simd('i64x2.abs i64x2.neg', 192, V, 'v128');
simd('i64x2.all_true i64x2.bitmask', 195, V, 'i32');
simd(
  'i64x2.extend_low_i32x4_s i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u',
  199,
  V,
  'v128',
);
simd('i64x2.shl i64x2.shr_s i64x2.shr_u', 203, VS, 'v128');
simd('i64x2.add', 206, VV, 'v128');
simd('i64x2.sub', 209, VV, 'v128');
simd('i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s', 213, VV, 'v128');
simd(
  'i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u i64x2.extmul_high_i32x4_u',
  220,
  VV,
  'v128',
);
simd('f32x4.abs f32x4.neg', 224, V, 'v128');
simd('f32x4.sqrt', 227, V, 'v128');
simd('f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max f32x4.pmin f32x4.pmax', 228, VV, 'v128');
simd('f64x2.abs f64x2.neg', 236, V, 'v128');
simd('f64x2.sqrt', 239, V, 'v128');
simd('f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max f64x2.pmin f64x2.pmax', 240, VV, 'v128');
simd('i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u', 248, V, 'v128');
simd('f32x4.convert_i32x4_s f32x4.convert_i32x4_u', 250, V, 'v128');
simd('i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero', 252, V, 'v128');
simd('f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u', 254, V, 'v128');

/** Looks an operation up by its WebAssembly name. */
export function pureOp(name: string): PureOp {
  const op = OPS.get(name);
  if (op === undefined) throw new TypeError(`no pure operation is called ${name}`);
  return op;
}

export function pureOps(): IterableIterator<PureOp> {
  return OPS.values();
}

/** Reads the imported i32 of a number (`ModuleBuilder.importNumber`), which never changes. */
export function importedNumber(index: number): PureOp {
  return { name: `global.get ${index}`, params: [], result: 'i32', code: [0x23, index], lane: false, fold: undefined };
}

/** One integer operation for each of the integer types. */
export interface IntegerOp {
  readonly i32: PureOp;
  readonly i64: PureOp;
}

export function integerOp(name: string): IntegerOp {
  return { i32: pureOp(`i32.${name}`), i64: pureOp(`i64.${name}`) };
}
