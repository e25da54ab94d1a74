/** Conversions between the floating-point formats and from integers. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition, Semantics } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { checkPendingX87 } from '../x87/mmx-state.ts';
import { earlyTransition, half, lowHalf, splat } from './common.ts';
import {
  allLanes,
  buildLanes,
  DOUBLE,
  type Element,
  either,
  exactly,
  inexactIsSilent,
  isPlain,
  lane,
  MXCSR,
  mxcsr,
  replaceLane,
  SINGLE,
  toBits,
  toFloat,
} from './float-element.ts';
import { hold, holds, inWindow, inWindowOrZero, verdict } from './float-window.ts';

/** `sse_f64_to_f32 (a)`: the native result where it is exact or PE does not matter. */
const narrow = routine('sse_f64_to_f32', ['i64'], 'i32', (b, cpu, a) => {
  const control = mxcsr(b, cpu);
  const x = toFloat(b, DOUBLE, a);
  const r = b.op('f32.demote_f64', x);
  const result = toBits(b, SINGLE, r);
  b.if(b.eqz(b.and(control, b.i32(MXCSR.rounding))), () => {
    const exact = b.op('f64.eq', b.op('f64.promote_f32', r), x);
    const zero = b.eqz(b.shl(a, b.i64(1)));
    const plain = b.and(isPlain(b, SINGLE, result), b.or(exact, inexactIsSilent(b, control)));
    b.if(b.or(zero, plain), () => b.return(result));
  });
  b.return(b.call('f64_to_f32', cpu, a, control));
});

/** `sse_f64x2_to_f32 (v)`: two singles, zero above. */
const narrowLanes = routine('sse_f64x2_to_f32', ['v128'], 'v128', (b, cpu, v) => {
  b.return(buildLanes(b, SINGLE, 2, (i) => b.call('sse_f64_to_f32', cpu, lane(b, DOUBLE, v, i))));
});

/** `sse_f32x2_to_f64 (v)`: of the two low singles. */
const widenLanes = routine('sse_f32x2_to_f64', ['v128'], 'v128', (b, cpu, v) => {
  const control = mxcsr(b, cpu);
  b.return(buildLanes(b, DOUBLE, 2, (i) => b.call('f32_to_f64', cpu, lane(b, SINGLE, v, i), control)));
});

/** `sse_i32x4_to_f32 (v)`. */
const fromIntegers = routine('sse_i32x4_to_f32', ['v128'], 'v128', (b, cpu, v) => {
  const control = mxcsr(b, cpu);
  b.return(buildLanes(b, SINGLE, 4, (i) => b.call('i32_to_f32', cpu, lane(b, SINGLE, v, i), control)));
});

export const floatConvertRoutines: readonly Helper[] = [narrow, narrowLanes, widenLanes, fromIntegers];

/** CVTSS2SD: exact, but for exceptions of the operand. */
function singleToDouble(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const y = src.readVector();
  const x = dst.readVector();
  const result = b.choose(
    holds(b, verdict(b, SINGLE, inWindowOrZero(b, SINGLE, y), 1)),
    () => b.op('f64.promote_f32', b.lane('f32x4.extract_lane', 0, y)),
    () => toFloat(b, DOUBLE, exactly(b, 'f32_to_f64', lane(b, SINGLE, y, 0), b.field('mxcsr'))),
  );
  dst.writeVector(b.lane('f64x2.replace_lane', 0, x, result));
}

/**
 * Verdict: a result in the window, or zero, is taken. Where it is what was converted, nothing was rounded; that a double
 * was too small for the window shows in a result of zero that is not equal to it.
 */
function narrowed(b: InstructionBuilder, fine: Value, same: () => Value, native: Value, slow: () => Value): Value {
  return b.choose(
    hold(b, fine, b.floatReady()),
    () => native,
    () => b.choose(same(), () => native, slow),
  );
}

function doubleToSingle(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const y = src.readVector();
  const x = dst.readVector();
  const double = b.lane('f64x2.extract_lane', 0, y);
  const single = b.op('f32.demote_f64', double);
  const native = b.lane('f32x4.replace_lane', 0, x, single);
  const same = () => {
    const usable = verdict(b, SINGLE, inWindowOrZero(b, SINGLE, native), 1);
    return b.and(holds(b, usable), b.op('f64.eq', b.op('f64.promote_f32', single), double));
  };
  const slow = () => replaceLane(b, SINGLE, x, 0, exactly(b, 'sse_f64_to_f32', lane(b, DOUBLE, y, 0)));
  dst.writeVector(narrowed(b, verdict(b, SINGLE, inWindow(b, SINGLE, native), 1), same, native, slow));
}

function singlesToDoubles(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const x = src.readVector();
  const ordinary = holds(b, verdict(b, SINGLE, inWindowOrZero(b, SINGLE, x), 2));
  const native = b.op('f64x2.promote_low_f32x4', x);
  dst.writeVector(either(b, ordinary, native, () => exactly(b, 'sse_f32x2_to_f64', x)));
}

function doublesToSingles(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const x = src.readVector();
  // The upper lanes are zero: only the low two count.
  const native = b.op('f32x4.demote_f64x2_zero', x);
  const same = () => {
    const usable = verdict(b, SINGLE, inWindowOrZero(b, SINGLE, native), 2);
    const equal = b.op('f64x2.eq', b.op('f64x2.promote_low_f32x4', native), x);
    return b.and(holds(b, usable), allLanes(b, DOUBLE, equal));
  };
  const slow = () => exactly(b, 'sse_f64x2_to_f32', x);
  dst.writeVector(narrowed(b, verdict(b, SINGLE, inWindow(b, SINGLE, native), 2), same, native, slow));
}

/** A magnitude up to `limit` (i64): an integer that the format holds. */
function isSmall(b: Builder, value: Value, limit: bigint): Value {
  return b.leU(b.add(value, b.i64(limit)), b.i64(2n * limit));
}

/** CVTSI2SS, CVTSI2SD: from a general register or memory of 4 or 8 bytes. */
const fromInteger =
  (e: Element) =>
  (b: InstructionBuilder, dst: Operand, src: Operand): void => {
    const wide = src.size === 8;
    const value = src.read();
    const x = dst.readVector();
    const integer = wide ? value : b.wrap(value);
    const native = b.op(`${e.name}.convert_${integer.type}_s`, integer);
    const write = (result: Value) => dst.writeVector(b.lane(`${e.shape}.replace_lane`, 0, x, result));
    if (!wide && e.name === 'f64') {
      write(native);
      return;
    }
    const exact = isSmall(b, wide ? value : b.extendS(integer), 1n << BigInt(e.fractionBits + 1));
    const slow = () =>
      b.choose(
        b.ne(b.floatReady(), b.i64(0)),
        () => native,
        () => toFloat(b, e, exactly(b, `${integer.type}_to_${e.name}`, integer, b.field('mxcsr'))),
      );
    write(either(b, exact, native, slow));
  };

/** Four integers as singles. */
function integersToSingles(b: InstructionBuilder, x: Value): Value {
  const native = b.op('f32x4.convert_i32x4_s', x);
  const small = b.op('i32x4.le_u', b.op('i32x4.abs', x), splat(b, 32, 1 << 24));
  const ready = b.ne(b.floatReady(), b.i64(0));
  const fine = b.or(b.op('i32x4.all_true', small), ready);
  return either(b, fine, native, () => exactly(b, 'sse_i32x4_to_f32', x));
}

/**
 * The integers of CVTPI2PS and CVTPI2PD as a low half. With a memory operand no MMX register is used, and the x87
 * registers stay as they are.
 */
function mmxIntegers(b: InstructionBuilder, src: Operand): Value {
  if (src.kind === 'mmx') {
    checkPendingX87(b);
    earlyTransition(b);
  }
  return lowHalf(b, src.read());
}

/** CVTPI2PS: replaces the low half. */
const mmxToSingles = (b: InstructionBuilder, dst: Operand, src: Operand): void =>
  dst.write(half(b, integersToSingles(b, mmxIntegers(b, src)), 0));

const mmxToDoubles = (b: InstructionBuilder, dst: Operand, src: Operand): void =>
  dst.writeVector(b.op('f64x2.convert_low_i32x4_s', mmxIntegers(b, src)));

function sse(name: string, feature: string, encoding: string, semantics: Semantics): Definition {
  return { name, encodings: [encoding], unit: 'sse', feature, semantics };
}

export const floatConvert: readonly Definition[] = [
  sse('cvtsi2ss', 'sse', 'f3 0f 2a /r Vd,Ey', fromInteger(SINGLE)),
  sse('cvtsi2sd', 'sse2', 'f2 0f 2a /r Vq,Ey', fromInteger(DOUBLE)),
  sse('cvtss2sd', 'sse2', 'f3 0f 5a /r Vq,Wd', singleToDouble),
  sse('cvtsd2ss', 'sse2', 'f2 0f 5a /r Vd,Wq', doubleToSingle),
  sse('cvtps2pd', 'sse2', 'np 0f 5a /r Vdq,Wq', singlesToDoubles),
  sse('cvtpd2ps', 'sse2', '66 0f 5a /r Vdq,Wdq', doublesToSingles),
  sse('cvtdq2ps', 'sse2', 'np 0f 5b /r Vdq,Wdq', (b, dst, src) =>
    dst.writeVector(integersToSingles(b, src.readVector())),
  ),
  sse('cvtdq2pd', 'sse2', 'f3 0f e6 /r Vdq,Wq', (b, dst, src) =>
    dst.writeVector(b.op('f64x2.convert_low_i32x4_s', b.op('i64x2.splat', src.read()))),
  ),
  sse('cvtpi2ps', 'sse', 'np 0f 2a /r Vq,Qq', mmxToSingles),
  sse('cvtpi2pd', 'sse2', '66 0f 2a /r Vdq,Qq', mmxToDoubles),
];
