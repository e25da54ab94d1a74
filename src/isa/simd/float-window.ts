/**
 * Cheap tests that a native result is the right one.
 *
 * A number is in the *window* where its biased exponent lies in the middle half of the range: 2^-511 up to 2^513 for doubles,
 * 2^-63 up to 2^65 for singles. Adding a quarter of the exponent range to the bits brings exactly these numbers to where
 * the exponent's top bit is set; what else the addition does, to the sign or by its carry, does not matter. So one integer
 * addition tests a lane, and `and` joins tests. Below, the bit that tells is called the lane's verdict.
 *
 * What is in the window is normal, so that none of the exceptions of operands (invalid, denormal, divide by zero) is
 * possible, and DAZ is of no consequence. What can be said of results:
 *
 * - Sums of two such numbers are below 2^514 and multiples of 2^-563 (singles: 2^66, 2^-86): plain or an exact zero.
 * - Products and quotients are looked at themselves, in a window that begins at 2^-508 (singles: 2^-60). One operand is
 *   enough then: had the other been denormal, the product would be below 2^-1022 * 2^513, had the dividend been, the
 *   quotient would be below 2^-1022 / 2^-511. Infinities, NaNs and zeros leave their mark on the result.
 * - A square root in the window is that of a positive normal number: denormal ones have theirs below 2^-511.
 *
 * All that is left to find out is whether rounding matters, see `InstructionBuilder.floatReady`.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { FLOAT_READY } from '../state-builder.ts';
import type { Element } from './float-element.ts';

/** How far above the window begins that results are looked at in, as a power of two. */
const RESULT = 3;

function shifted(b: InstructionBuilder, e: Element, v: Value, by: number): Value {
  const quarter = e.name === 'f32' ? 64 : 512;
  const added = BigInt(quarter - by) << BigInt(e.fractionBits);
  const ones =
    e.name === 'f32' ? 0x0000_0001_0000_0001_0000_0001_0000_0001n : 0x0000_0000_0000_0001_0000_0000_0000_0001n;
  return b.op(`${e.intShape}.add`, v, b.vectorConstant(added * ones));
}

/** Verdicts: in the window. */
export const inWindow = (b: InstructionBuilder, e: Element, v: Value): Value => shifted(b, e, v, 0);

/** Verdicts: in the window for products and quotients. */
export const inResultWindow = (b: InstructionBuilder, e: Element, v: Value): Value => shifted(b, e, v, RESULT);

/** Lanes that are zero: all ones, the verdict among them. */
export const isZero = (b: Builder, e: Element, v: Value): Value => b.op(`${e.shape}.eq`, v, b.v128(0n, 0n));

/** Verdicts: in the window, or zero. */
export const inWindowOrZero = (b: InstructionBuilder, e: Element, v: Value): Value =>
  b.op('v128.or', inWindow(b, e, v), isZero(b, e, v));

/** Verdicts that hold in every one of some vectors. */
export const every = (b: Builder, first: Value, ...others: Value[]): Value =>
  others.reduce((all, v) => b.op('v128.and', all, v), first);

/** The verdict of the low lane, or that of all `count` low lanes, as bit 62 of an i64; the other bits are anything. */
export function verdict(b: Builder, e: Element, v: Value, count: number): Value {
  if (count === 1) {
    if (e.name === 'f64') return b.lane('i64x2.extract_lane', 0, v);
    return b.shl(b.extendU(b.lane('i32x4.extract_lane', 0, v)), b.i64(32));
  }
  const signs = b.op(`${e.intShape}.bitmask`, b.op(`${e.intShape}.add`, v, v));
  const all = count === e.count ? signs : b.and(signs, b.i32((1 << count) - 1));
  // Only where all signs are set does adding one carry out of them.
  return b.shl(b.extendU(b.add(all, b.i32(1))), b.i64(62 - count));
}

/** A condition (i32, 0 or 1) as bit 62 of an i64. */
export const asVerdict = (b: Builder, condition: Value): Value => b.shl(b.extendU(condition), b.i64(62));

/** 1 (i32) where bit 62 is set in both. */
export const hold = (b: Builder, found: Value, wanted: Value): Value => b.ne(b.and(found, wanted), b.i64(0));

/** 1 (i32) where a verdict holds, whatever MXCSR says. */
export const holds = (b: Builder, found: Value): Value => hold(b, found, b.i64(FLOAT_READY));
