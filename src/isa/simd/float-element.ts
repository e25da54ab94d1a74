/**
 * What the SSE floating-point tables share: the two element types, tests that tell when a native result can be taken as it
 * is, and the slow path. Instructions themselves ask by the cheaper tests of `float-window.ts` first.
 *
 * A native result is right, and all that can be missing is PE, where no operand is denormal and the result is finite and
 * larger than the smallest normal number: then no exception but inexact is possible, neither FTZ nor DAZ matters, and
 * rounding to nearest is what WebAssembly does. With PE set and masked, nothing is missing.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { routine } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR4, VCPU, VECTOR } from '../state.ts';

/** An element type of SSE vectors. */
export interface Element {
  readonly name: 'f32' | 'f64';
  /** The integer type of its bits. */
  readonly int: 'i32' | 'i64';
  /** Vector shape, and that of masks. */
  readonly shape: 'f32x4' | 'f64x2';
  readonly intShape: 'i32x4' | 'i64x2';
  readonly count: 2 | 4;
  /** Operand size code of one element. */
  readonly size: 'd' | 'q';
  readonly fractionBits: 23 | 52;
  /** Mandatory prefixes of packed and scalar instructions, endings of their names, CPUID feature. */
  readonly packedPrefix: 'np' | '66';
  readonly scalarPrefix: 'f3' | 'f2';
  readonly packedName: 'ps' | 'pd';
  readonly scalarName: 'ss' | 'sd';
  readonly feature: 'sse' | 'sse2';
}

export const SINGLE: Element = {
  name: 'f32',
  int: 'i32',
  shape: 'f32x4',
  intShape: 'i32x4',
  count: 4,
  size: 'd',
  fractionBits: 23,
  packedPrefix: 'np',
  scalarPrefix: 'f3',
  packedName: 'ps',
  scalarName: 'ss',
  feature: 'sse',
};

export const DOUBLE: Element = {
  name: 'f64',
  int: 'i64',
  shape: 'f64x2',
  intShape: 'i64x2',
  count: 2,
  size: 'q',
  fractionBits: 52,
  packedPrefix: '66',
  scalarPrefix: 'f2',
  packedName: 'pd',
  scalarName: 'sd',
  feature: 'sse2',
};

export const ELEMENTS: readonly Element[] = [SINGLE, DOUBLE];

/** Bits of MXCSR (SDM vol. 1 10.2.3). */
export const MXCSR = {
  precision: 0x20,
  denormalsAreZero: 0x40,
  masks: 7,
  precisionMask: 0x1000,
  rounding: 0x6000,
} as const;

const PRECISION_SILENT = MXCSR.precision | MXCSR.precisionMask;

/** MXCSR as i32. */
export const mxcsr = (b: Builder, cpu: Value): Value => b.loadHost('i32.load', cpu, VCPU.offsets.mxcsr);

/** Inexact results change nothing: PE is set and masked. */
export function inexactIsSilent(b: Builder, control: Value): Value {
  return b.eq(b.and(control, b.i32(PRECISION_SILENT)), b.i32(PRECISION_SILENT));
}

/** Rounding control as i32: 0 nearest, 1 down, 2 up, 3 toward zero. */
export function roundingControl(b: Builder, control: Value): Value {
  return b.and(b.shrU(control, b.i32(13)), b.i32(3));
}

export const toFloat = (b: Builder, e: Element, bits: Value): Value => b.op(`${e.name}.reinterpret_${e.int}`, bits);
export const toBits = (b: Builder, e: Element, float: Value): Value => b.op(`${e.int}.reinterpret_${e.name}`, float);
export const floatConstant = (b: Builder, e: Element, value: number): Value =>
  e.name === 'f32' ? b.f32(value) : b.f64(value);
/** An integer constant of the type of an element's bits. */
export const bitsConstant = (b: Builder, e: Element, value: bigint): Value =>
  e.int === 'i32' ? b.i32(Number(BigInt.asIntN(32, value))) : b.i64(value);

/** The bits of the element that an operand's low bytes hold. */
export function readElement(b: InstructionBuilder, e: Element, operand: Operand): Value {
  const value = operand.read();
  return e.int === 'i32' ? b.wrap(value) : value;
}
/** Writes an element's bits; the rest of an XMM register stays. */
export function writeElement(b: InstructionBuilder, e: Element, operand: Operand, bits: Value): void {
  operand.write(e.int === 'i32' ? b.extendU(bits) : bits);
}

/** Magnitude of the smallest normal number and of infinity, shifted left by one as in the tests below. */
const smallest = (e: Element): bigint => 1n << BigInt(e.fractionBits + 1);
const infinity = (e: Element): bigint => (e.name === 'f32' ? 0xffn << 24n : 0x7ffn << 53n);

/** Bits without the sign, shifted left by one. */
function magnitude(b: Builder, e: Element, bits: Value): Value {
  return b.shl(bits, bitsConstant(b, e, 1n));
}

/** Not zero and below the smallest normal number. */
export function isDenormal(b: Builder, e: Element, bits: Value): Value {
  const least = b.sub(magnitude(b, e, bits), bitsConstant(b, e, 1n));
  return b.ltU(least, bitsConstant(b, e, smallest(e) - 1n));
}

/** Larger than the smallest normal number and finite. */
export function isPlain(b: Builder, e: Element, bits: Value): Value {
  const above = b.sub(magnitude(b, e, bits), bitsConstant(b, e, smallest(e) + 1n));
  return b.ltU(above, bitsConstant(b, e, infinity(e) - smallest(e) - 1n));
}

/** Zero, normal or infinite: its comparisons raise no exception. */
export function isOrdinary(b: Builder, e: Element, bits: Value): Value {
  const number = b.leU(magnitude(b, e, bits), bitsConstant(b, e, infinity(e)));
  return b.and(number, b.eqz(isDenormal(b, e, bits)));
}

/** A vector with a number in every lane. */
export function floatSplat(b: Builder, e: Element, value: number): Value {
  return b.op(`${e.shape}.splat`, floatConstant(b, e, value));
}

/** 1 where every lane of a mask is set, as i32. */
export const allLanes = (b: Builder, e: Element, mask: Value): Value => b.op(`${e.intShape}.all_true`, mask);

/** The bits of one lane. */
export const lane = (b: Builder, e: Element, v: Value, index: number): Value =>
  b.lane(`${e.intShape}.extract_lane`, index, v);
export const replaceLane = (b: Builder, e: Element, v: Value, index: number, bits: Value): Value =>
  b.lane(`${e.intShape}.replace_lane`, index, v, bits);

/** A vector of elements made one by one, low lane first; lanes left out are zero. */
export function buildLanes(b: Builder, e: Element, count: number, element: (index: number) => Value): Value {
  let vector = b.v128(0n, 0n);
  for (let i = 0; i < count; i++) vector = replaceLane(b, e, vector, i, element(i));
  return vector;
}

/** Calls a routine that collects exceptions in `fpExceptions`, then raises what is not masked. */
export function exactly(b: InstructionBuilder, routineName: string, ...args: Value[]): Value {
  b.setScratchField('fpExceptions', b.i32(0));
  const result = b.helper(routineName, ...args);
  b.helper('sse_finish');
  b.mxcsrChanged();
  return result;
}

/** `fast` where `condition` holds, else the result of a routine; see `exactly`. */
export function either(b: InstructionBuilder, condition: Value, fast: Value, slow: () => Value): Value {
  return b.choose(condition, () => fast, slow);
}

/** Invalid, denormal and divide-by-zero are found before an operation starts, the others by it. */
const BEFORE = 7;

/**
 * `sse_finish ()`: the exceptions collected become MXCSR's flags; one that is not masked raises #XM, or #UD where the
 * system does not handle that (SDM vol. 1 11.5.2). With an unmasked exception that comes before the operation, those
 * that come after it are not flagged.
 */
export const finish = routine(
  'sse_finish',
  [],
  undefined,
  (b, cpu) => {
    const { fpExceptions, mxcsr: control, cr4, faultVector, faultHasError } = VCPU.offsets;
    const found = b.loadHost('i32.load', cpu, fpExceptions);
    b.if(b.eqz(found), () => b.return());
    const old = b.loadHost('i32.load', cpu, control);
    const unmasked = b.and(found, b.not(b.shrU(old, b.i32(MXCSR.masks))));
    const early = b.and(unmasked, b.i32(BEFORE));
    const flags = b.select(early, b.and(found, b.i32(BEFORE)), found);
    b.storeHost('i32.store', cpu, b.or(old, b.and(flags, b.i32(0x3f))), control);
    b.if(b.and(unmasked, b.i32(0x3f)), () => {
      const handled = b.and(b.wrap(b.loadHost('i64.load', cpu, cr4)), b.i32(CR4.osxmmexcpt));
      b.storeHost('i32.store', cpu, b.select(handled, b.i32(VECTOR.xm), b.i32(VECTOR.ud)), faultVector);
      b.storeHost('i32.store', cpu, b.i32(0), faultHasError);
    });
  },
  true,
);
