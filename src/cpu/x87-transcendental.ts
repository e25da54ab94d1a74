/**
 * FSIN, FCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1 (SDM vol. 1 8.3.7–8.3.11 and vol. 2): results are rounded from more
 * than 120 bits, so that their error is half a unit in the last place and a little; arguments are reduced by pi itself,
 * not by a rounded one.
 */
import { EXCEPTION } from '../isa/float/format.ts';
import type { VcpuState } from '../isa/state.ts';
import { TRANSCENDENTAL } from '../isa/x87/transcendental.ts';
import { deliver, infinity, invalid, type Number80, round, same, unpack, zero } from './x87-number.ts';
import {
  arctangent,
  BITS,
  bitLength,
  cosine,
  exponentialMinusOne,
  LN2,
  logarithm,
  PI,
  reduce,
  sine,
} from './x87-series.ts';

/** Below 2^-SMALL a function equals the first term of its series to far more than 64 bits. */
const SMALL = 66;

const isNan = (x: Number80): boolean => x.kind === 'quiet' || x.kind === 'signalling';

/** Binary exponent of a finite number: its magnitude is in [2^n, 2^(n+1)). */
const magnitude = (x: Number80): number => bitLength(x.significand) - 1 + x.exponent;

/** A finite number in units of 2^-BITS, without its sign. */
function fixed(x: Number80): bigint {
  const shift = BITS + x.exponent;
  return shift >= 0 ? x.significand << BigInt(shift) : x.significand >> BigInt(-shift);
}

const isOne = (x: Number80): boolean => x.kind === 'finite' && x.significand === 1n << 63n && x.exponent === -63;

function noteDenormal(state: VcpuState, ...values: readonly Number80[]): void {
  if (values.some((x) => x.denormal)) state.fpExceptions |= EXCEPTION.denormal;
}

/** Rounds a signed number in units of 2^-BITS. */
function roundFixed(state: VcpuState, value: bigint, negative = false): bigint {
  const flipped = value < 0n;
  return round(state, flipped !== negative, flipped ? -value : value, -BITS);
}

/** A number that is a little less (in magnitude) than `x`. */
function roundBelow(state: VcpuState, x: Number80): bigint {
  return round(state, x.negative, (x.significand << 128n) - 1n, x.exponent - 128);
}

type Circular = 'sine' | 'cosine' | 'tangent';

function circular(state: VcpuState, x: Number80, which: Circular): bigint {
  if (x.kind === 'infinity') return invalid(state);
  if (x.kind === 'zero') return which === 'cosine' ? deliver(state, false, 0x3fff, 1n << 63n) : same(state, x);
  if (magnitude(x) >= 63) {
    state.fpExceptions |= EXCEPTION.c2;
    return same(state, x);
  }
  noteDenormal(state, x);
  if (magnitude(x) < -SMALL) {
    if (which === 'cosine') return round(state, false, (1n << 128n) - 1n, -128);
    if (which === 'sine') return roundBelow(state, x);
    return round(state, x.negative, x.significand << 128n, x.exponent - 128);
  }
  const { rest, quadrant } = reduce(fixed(x));
  const odd = (quadrant & 1) === 1;
  const [s, c] = [sine(rest), cosine(rest)];
  if (which === 'sine') return roundFixed(state, odd ? c : s, x.negative !== quadrant >= 2);
  if (which === 'cosine') return roundFixed(state, odd ? s : c, quadrant === 1 || quadrant === 2);
  const scaled = odd ? (-c << BigInt(BITS)) / s : (s << BigInt(BITS)) / c;
  return roundFixed(state, scaled, x.negative);
}

/** arctan(y / x) in the quadrant of the point (x, y). */
function pointAngle(state: VcpuState, x: Number80, y: Number80): bigint {
  noteDenormal(state, x, y);
  const angle = (value: bigint) => roundFixed(state, value, y.negative);
  if (x.kind === 'infinity' || y.kind === 'infinity') {
    if (x.kind !== 'infinity') return angle(PI >> 1n);
    if (y.kind === 'infinity') return angle(x.negative ? (3n * PI) >> 2n : PI >> 2n);
    return x.negative ? angle(PI) : zero(state, y.negative);
  }
  if (y.kind === 'zero') return x.negative ? angle(PI) : zero(state, y.negative);
  if (x.kind === 'zero') return angle(PI >> 1n);
  const distance = magnitude(y) - magnitude(x);
  if (distance < -SMALL && !x.negative) {
    const quotient = (y.significand << 256n) / x.significand;
    const exact = quotient * x.significand === y.significand << 256n;
    // The arctangent lies below its argument, by less than anything that is kept.
    const mantissa = exact ? (quotient << 64n) - 1n : quotient << 64n;
    return round(state, y.negative, mantissa, y.exponent - x.exponent - 320);
  }
  return angle(angleOfRatio(x, y, distance));
}

/** In units of 2^-BITS, for a positive y. */
function angleOfRatio(x: Number80, y: Number80, distance: number): bigint {
  const steep = distance > 0 || (distance === 0 && compareMagnitudes(y, x) > 0);
  const [small, large] = steep ? [x, y] : [y, x];
  const shift = BITS + small.exponent - large.exponent;
  const ratio =
    shift >= 0 ? (small.significand << BigInt(shift)) / large.significand : small.significand >> BigInt(-shift + 64);
  const acute = shift >= 0 ? arctangent(ratio) : ratio;
  const first = steep ? (PI >> 1n) - acute : acute;
  return x.negative ? PI - first : first;
}

function compareMagnitudes(x: Number80, y: Number80): number {
  const low = Math.min(x.exponent, y.exponent);
  const difference = (x.significand << BigInt(x.exponent - low)) - (y.significand << BigInt(y.exponent - low));
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}

/** 2^x - 1. Processors leave |x| > 1 undefined; the argument is then the result. */
function powerMinusOne(state: VcpuState, x: Number80): bigint {
  if (x.kind === 'zero') return same(state, x);
  if (x.kind === 'infinity') return x.negative ? deliver(state, true, 0x3fff, 1n << 63n) : same(state, x);
  noteDenormal(state, x);
  const n = magnitude(x);
  if (n >= 0) {
    if (!isOne({ ...x, negative: false })) {
      state.fpExceptions |= EXCEPTION.inexact;
      return same(state, x);
    }
    return deliver(state, x.negative, x.negative ? 0x3ffe : 0x3fff, 1n << 63n);
  }
  if (n < -SMALL) return round(state, x.negative, x.significand * LN2, x.exponent - BITS);
  const exponent = (fixed(x) * LN2) >> BigInt(BITS);
  return roundFixed(state, exponentialMinusOne(x.negative ? -exponent : exponent));
}

/**
 * y times a logarithm, given as a signed mantissa; `exact` where that is no approximation. Processors call even an exact
 * result inexact.
 */
function scaled(state: VcpuState, y: Number80, mantissa: bigint, exponent: number, exact: boolean): bigint {
  const negative = y.negative !== mantissa < 0n;
  const absolute = mantissa < 0n ? -mantissa : mantissa;
  const result = round(state, negative, absolute * y.significand, exponent + y.exponent, !exact);
  const denormal = (state.fpResultExponent & 0x7fff) === 0;
  state.fpExceptions |= EXCEPTION.inexact | (denormal ? EXCEPTION.underflow : 0);
  return result;
}

/** y * log2(x). */
function logarithmTimes(state: VcpuState, x: Number80, y: Number80): bigint {
  if (x.kind === 'zero') {
    if (y.kind === 'zero') return invalid(state);
    if (y.kind === 'finite') state.fpExceptions |= EXCEPTION.zeroDivide;
    return infinity(state, !y.negative);
  }
  if (x.negative) return invalid(state);
  if (x.kind === 'infinity') {
    if (y.kind === 'zero') return invalid(state);
    noteDenormal(state, y);
    return infinity(state, y.negative);
  }
  const n = magnitude(x);
  const one = isOne(x);
  const power = x.significand === 1n << BigInt(bitLength(x.significand) - 1);
  if (y.kind === 'infinity') {
    if (one) return invalid(state);
    noteDenormal(state, x);
    return infinity(state, y.negative !== n < 0);
  }
  noteDenormal(state, x, y);
  if (one || y.kind === 'zero') return zero(state, y.negative !== n < 0);
  if (power) return scaled(state, y, BigInt(n), 0, true);
  return scaled(state, y, logarithm(x.significand, x.exponent), -BITS, false);
}

/** y * log2(x + 1). Processors leave arguments of -1 and less undefined; the argument is then the result. */
function logarithmPlusOneTimes(state: VcpuState, x: Number80, y: Number80): bigint {
  if (x.kind === 'infinity') {
    if (x.negative || y.kind === 'zero') return invalid(state);
    noteDenormal(state, y);
    return infinity(state, y.negative);
  }
  const n = x.kind === 'zero' ? 0 : magnitude(x);
  if (y.kind === 'infinity') {
    if (x.kind === 'zero') return invalid(state);
    noteDenormal(state, x);
    return infinity(state, y.negative !== x.negative);
  }
  noteDenormal(state, x, y);
  if (x.kind === 'zero' || y.kind === 'zero') return zero(state, y.negative !== x.negative);
  if (x.negative && n >= 0) {
    state.fpExceptions |= EXCEPTION.inexact;
    return same(state, x);
  }
  if (n < -SMALL) {
    const first = (x.significand << BigInt(2 * BITS)) / LN2;
    return scaled(state, y, x.negative ? -first : first, x.exponent - BITS, false);
  }
  const low = Math.min(x.exponent, 0);
  const term = x.significand << BigInt(x.exponent - low);
  const sum = (1n << BigInt(-low)) + (x.negative ? -term : term);
  return scaled(state, y, logarithm(sum, low), -BITS, false);
}

/** Which of two operands, of which at least one is a NaN, x87 returns (SDM vol. 1 table 4-7). */
function preferredNan(x: Number80, y: Number80): Number80 {
  if (!isNan(x)) return y;
  if (!isNan(y)) return x;
  if (x.kind !== y.kind) return x.kind === 'quiet' ? x : y;
  if (x.significand !== y.significand) return x.significand > y.significand ? x : y;
  return x.negative ? y : x;
}

/**
 * The engine's `x87_function` (see `isa/x87/transcendental.ts`): returns the significand of the result, its sign and
 * exponent in `fpResultExponent`; reports exceptions, C1 and C2 in `fpExceptions`. Functions of one operand ignore `b`.
 */
export function x87Function(
  state: VcpuState,
  operation: number,
  aSignificand: bigint,
  aSignExponent: number,
  bSignificand: bigint,
  bSignExponent: number,
): bigint {
  const { arctangent: angle, logarithm: log, logarithmPlusOne: logPlusOne } = TRANSCENDENTAL;
  const x = unpack(aSignificand, aSignExponent);
  const y =
    operation === angle || operation === log || operation === logPlusOne ? unpack(bSignificand, bSignExponent) : x;
  if (x.kind === 'unsupported' || y.kind === 'unsupported') return invalid(state);
  if (isNan(x) || isNan(y)) {
    if (x.kind === 'signalling' || y.kind === 'signalling') state.fpExceptions |= EXCEPTION.invalid;
    return same(state, preferredNan(x, y));
  }
  switch (operation) {
    case TRANSCENDENTAL.sine:
      return circular(state, x, 'sine');
    case TRANSCENDENTAL.cosine:
      return circular(state, x, 'cosine');
    case TRANSCENDENTAL.tangent:
      return circular(state, x, 'tangent');
    case angle:
      return pointAngle(state, x, y);
    case TRANSCENDENTAL.power:
      return powerMinusOne(state, x);
    case log:
      return logarithmTimes(state, x, y);
    default:
      return logarithmPlusOneTimes(state, x, y);
  }
}
