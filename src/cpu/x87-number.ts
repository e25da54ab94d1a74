/** 80-bit numbers taken apart, and rounding to them with x87's exceptions. */

import { EXCEPTION, ROUNDING } from '../isa/float/format.ts';
import type { VcpuState } from '../isa/state.ts';
import { DEFAULT_NAN } from '../isa/x87/unit.ts';
import { bitLength } from './x87-series.ts';

export const BIAS = 16383;
const MAX = 0x7fff;
const BIAS_ADJUST = 24576;

export type Kind = 'zero' | 'finite' | 'infinity' | 'quiet' | 'signalling' | 'unsupported';

export interface Number80 {
  readonly kind: Kind;
  readonly negative: boolean;
  readonly denormal: boolean;
  /** As encoded. */
  readonly significand: bigint;
  /** The magnitude of a finite number is `significand * 2^exponent`. */
  readonly exponent: number;
}

function kindOf(significand: bigint, biased: number): Kind {
  if (biased === 0) return significand === 0n ? 'zero' : 'finite';
  if (significand >> 63n === 0n) return 'unsupported';
  if (biased !== MAX) return 'finite';
  if (BigInt.asUintN(63, significand) === 0n) return 'infinity';
  return (significand >> 62n) & 1n ? 'quiet' : 'signalling';
}

export function unpack(significand: bigint, signExponent: number): Number80 {
  const sig = BigInt.asUintN(64, significand);
  const biased = signExponent & MAX;
  const kind = kindOf(sig, biased);
  return {
    kind,
    negative: (signExponent & 0x8000) !== 0,
    denormal: biased === 0 && kind === 'finite',
    significand: sig,
    exponent: Math.max(biased, 1) - BIAS - 63,
  };
}

/** Delivers a result: the significand is returned, sign and exponent go to `fpResultExponent`. */
export function deliver(state: VcpuState, negative: boolean, biased: number, significand: bigint): bigint {
  state.fpResultExponent = biased | (negative ? 0x8000 : 0);
  return BigInt.asIntN(64, significand);
}

export const zero = (state: VcpuState, negative: boolean): bigint => deliver(state, negative, 0, 0n);
export const infinity = (state: VcpuState, negative: boolean): bigint => deliver(state, negative, MAX, 1n << 63n);
/** A number as it is; a NaN made quiet. */
export function same(state: VcpuState, x: Number80): bigint {
  const nan = x.kind === 'quiet' || x.kind === 'signalling';
  const special = nan || x.kind === 'infinity';
  const biased = special ? MAX : x.kind === 'zero' || x.significand >> 63n === 0n ? 0 : x.exponent + BIAS + 63;
  return deliver(state, x.negative, biased, nan ? x.significand | (1n << 62n) : x.significand);
}
export function invalid(state: VcpuState): bigint {
  state.fpExceptions = EXCEPTION.invalid;
  return deliver(state, true, MAX, DEFAULT_NAN.significand);
}

/** Drops the low `shift` bits of `mantissa` (negative: adds zeros); says whether that rounds up in the current mode. */
function cut(
  state: VcpuState,
  negative: boolean,
  mantissa: bigint,
  shift: number,
  inexact: boolean,
): { value: bigint; lost: boolean; up: boolean } {
  if (shift <= 0) {
    const up = inexact && ((state.fcw >> 10) & 3) === (negative ? ROUNDING.down : ROUNDING.up);
    return { value: mantissa << BigInt(-shift), lost: inexact, up };
  }
  const value = mantissa >> BigInt(shift);
  const rest = mantissa - (value << BigInt(shift));
  const half = 1n << BigInt(shift - 1);
  const lost = inexact || rest !== 0n;
  const mode = (state.fcw >> 10) & 3;
  const nearest = rest > half || (rest === half && (inexact || (value & 1n) === 1n));
  const away = lost && mode === (negative ? ROUNDING.down : ROUNDING.up);
  return { value, lost, up: mode === ROUNDING.nearest ? nearest : away };
}

/**
 * Rounds `mantissa * 2^exponent`, `mantissa` > 0, to 64 bits and reports exceptions. `inexact`: the true value is a
 * little larger in magnitude than given.
 */
export function round(state: VcpuState, negative: boolean, mantissa: bigint, exponent: number, inexact = true): bigint {
  const length = bitLength(mantissa);
  let biased = length - 1 + exponent + BIAS;
  let shift = length - 64;
  let tiny = false;
  if (biased <= 0) {
    const full = cut(state, negative, mantissa, shift, inexact);
    tiny = biased < 0 || !(full.up && full.value === (1n << 64n) - 1n);
    if (tiny && (state.fcw & EXCEPTION.underflow) === 0) {
      state.fpExceptions |= EXCEPTION.underflow;
      biased += BIAS_ADJUST;
    } else {
      shift += 1 - biased;
      biased = 0;
    }
  }
  const { value, lost, up } = cut(state, negative, mantissa, shift, inexact);
  let significand = value + (up ? 1n : 0n);
  if (significand >> 64n !== 0n) {
    significand >>= 1n;
    biased++;
  }
  if (biased === 0 && significand >> 63n !== 0n) biased = 1;
  if (lost) {
    state.fpExceptions |= EXCEPTION.inexact | (tiny ? EXCEPTION.underflow : 0) | (up ? EXCEPTION.c1 : 0);
  }
  return biased >= MAX ? overflow(state, negative, biased, significand) : deliver(state, negative, biased, significand);
}

function overflow(state: VcpuState, negative: boolean, biased: number, significand: bigint): bigint {
  state.fpExceptions |= EXCEPTION.overflow;
  if ((state.fcw & EXCEPTION.overflow) === 0) return deliver(state, negative, biased - BIAS_ADJUST, significand);
  const mode = (state.fcw >> 10) & 3;
  state.fpExceptions |= EXCEPTION.inexact;
  if (mode === ROUNDING.nearest || mode === (negative ? ROUNDING.down : ROUNDING.up)) {
    state.fpExceptions |= EXCEPTION.c1;
    return infinity(state, negative);
  }
  return deliver(state, negative, MAX - 1, (1n << 64n) - 1n);
}
