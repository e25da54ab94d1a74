/** Conversions of floating-point numbers to integers, rounded by MXCSR or, the CVTT forms, toward zero. */
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { checkPendingX87, writeMmx } from '../x87/mmx-state.ts';
import { earlyTransition, half, lowHalf } from './common.ts';
import {
  allLanes,
  buildLanes,
  DOUBLE,
  ELEMENTS,
  type Element,
  either,
  exactly,
  floatConstant,
  floatSplat,
  lane,
  mxcsr,
  roundingControl,
  SINGLE,
} from './float-element.ts';

const TOWARD_ZERO = 3;

/** `sse_f32x4_to_i32 (v, mode)`, `sse_f64x2_to_i32 (v, mode)`: lanes above the converted ones are zero. */
function packedRoutine(e: Element): Helper {
  return routine(`sse_${e.shape}_to_i32`, ['v128', 'i32'], 'v128', (b, cpu, v, mode) => {
    const control = mxcsr(b, cpu);
    const convert = (i: number) => b.wrap(b.call(`${e.name}_to_i32`, cpu, lane(b, e, v, i), mode, control));
    b.return(buildLanes(b, SINGLE, e.count, convert));
  });
}

export const floatToIntegerRoutines: readonly Helper[] = ELEMENTS.map(packedRoutine);

/** The rounding mode of a conversion, as the routines take it. */
function modeOf(b: InstructionBuilder, truncates: boolean): Value {
  return truncates ? b.i32(TOWARD_ZERO) : roundingControl(b, b.field('mxcsr'));
}

/**
 * A native conversion where it is `exact` (i32), or where PE is of no consequence and the rounding, if MXCSR decides on it,
 * is to nearest.
 */
function converted(b: InstructionBuilder, inside: Value, exact: Value, native: Value, slow: () => Value): Value {
  const ready = b.ne(b.floatReady(), b.i64(0));
  return either(b, b.and(inside, b.or(exact, ready)), native, slow);
}

/** Four bytes of integer for each lane. */
function packedToIntegers(b: InstructionBuilder, e: Element, x: Value, truncates: boolean): Value {
  const rounded = b.op(`${e.shape}.${truncates ? 'trunc' : 'nearest'}`, x);
  const inside = b.op(`${e.shape}.lt`, b.op(`${e.shape}.abs`, rounded), floatSplat(b, e, 2 ** 31));
  const exact = allLanes(b, e, b.op(`${e.shape}.eq`, rounded, x));
  const zero = e.name === 'f64' ? '_zero' : '';
  const native = b.op(`i32x4.trunc_sat_${e.shape}_s${zero}`, rounded);
  const slow = () => exactly(b, `sse_${e.shape}_to_i32`, x, modeOf(b, truncates));
  return converted(b, allLanes(b, e, inside), exact, native, slow);
}

/**
 * To a general register of 4 or 8 bytes. The magnitude is compared before rounding: what is so near to the limit that
 * rounding could reach it goes to the routine, which is as right.
 */
function scalarToInteger(b: InstructionBuilder, e: Element, dst: Operand, src: Operand, truncates: boolean): void {
  const v = src.readVector();
  const x = b.lane(`${e.shape}.extract_lane`, 0, v);
  const wide = dst.size === 8;
  const limit = floatConstant(b, e, wide ? 2 ** 63 : 2 ** 31 - (e.name === 'f64' ? 1 : 128));
  const inside = b.op(`${e.name}.lt`, b.op(`${e.name}.abs`, x), limit);
  const type = wide ? 'i64' : 'i32';
  const rounded = truncates ? x : b.op(`${e.name}.nearest`, x);
  const integer = b.op(`${type}.trunc_sat_${e.name}_s`, rounded);
  const exact = b.op(`${e.name}.eq`, b.op(`${e.name}.convert_${type}_s`, integer), x);
  const native = wide ? integer : b.extendU(integer);
  const slow = () => exactly(b, `${e.name}_to_${type}`, lane(b, e, v, 0), modeOf(b, truncates), b.field('mxcsr'));
  dst.write(converted(b, inside, exact, native, slow));
}

/** To an MMX register. */
function toMmx(b: InstructionBuilder, e: Element, dst: Operand, src: Operand, truncates: boolean): void {
  checkPendingX87(b);
  const x = e.name === 'f32' ? lowHalf(b, src.read()) : src.readVector();
  earlyTransition(b);
  writeMmx(b, dst, half(b, packedToIntegers(b, e, x, truncates), 0));
}

function scalar(e: Element, truncates: boolean): Definition {
  return {
    name: `cvt${truncates ? 't' : ''}${e.scalarName}2si`,
    encodings: [`${e.scalarPrefix} 0f ${truncates ? '2c' : '2d'} /r Gy,W${e.size}`],
    unit: 'sse',
    feature: e.feature,
    semantics: (b, dst, src) => scalarToInteger(b, e, dst, src, truncates),
  };
}

function mmx(e: Element, truncates: boolean): Definition {
  return {
    name: `cvt${truncates ? 't' : ''}${e.packedName}2pi`,
    encodings: [`${e.packedPrefix} 0f ${truncates ? '2c' : '2d'} /r Pq,W${e.name === 'f32' ? 'q' : 'dq'}`],
    unit: 'sse',
    feature: e.feature,
    semantics: (b, dst, src) => toMmx(b, e, dst, src, truncates),
  };
}

function packed(name: string, opcode: string, e: Element, truncates: boolean): Definition {
  return {
    name,
    encodings: [`${opcode} /r Vdq,Wdq`],
    unit: 'sse',
    feature: 'sse2',
    semantics: (b, dst, src) => dst.writeVector(packedToIntegers(b, e, src.readVector(), truncates)),
  };
}

export const floatToInteger: readonly Definition[] = [
  ...ELEMENTS.flatMap((e) => [scalar(e, true), scalar(e, false), mmx(e, true), mmx(e, false)]),
  packed('cvtps2dq', '66 0f 5b', SINGLE, false),
  packed('cvttps2dq', 'f3 0f 5b', SINGLE, true),
  packed('cvtpd2dq', 'f2 0f e6', DOUBLE, false),
  packed('cvttpd2dq', '66 0f e6', DOUBLE, true),
];
