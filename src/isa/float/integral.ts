/**
 * Rounding to integers: `f32_` and `f64_round (a, mode, suppressInexact, mxcsr)`, `f80_round_int (a, fcw)`, and
 * `f32_`, `f64_` `to_i32`, `to_i64 (a, mode, mxcsr)`, `f80_to_i16`, `to_i32`, `to_i64 (a, mode)`, which return the
 * integer zero-extended to i64, or the indefinite integer where it does not fit.
 */
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { EXCEPTION, F32, F64, F80, FloatContext, type Format, handleNan, type Parts } from './format.ts';

interface Integral {
  /** Magnitude as an unsigned integer; 0 with `carry` stands for 2^64. */
  readonly magnitude: Value;
  readonly inexact: Value;
  readonly up: Value;
  readonly carry: Value;
}

/** Rounds a finite number below 2^64 to an integer. `unbiased` is the exponent of its (normalised) significand. */
function toIntegral(c: FloatContext, sign: Value, unbiased: Value, significand: Value, mode: Value): Integral {
  const { b } = c;
  const whole = b.variable('i64', b.i64(0));
  /** The fraction, its highest bit a half. */
  const fraction = b.variable('i64', b.extendU(b.op('i64.ne', significand, b.i64(0))));
  b.if(b.geS(unbiased, b.i32(-1)), () => {
    const shift = b.extendU(b.sub(b.i32(63), unbiased));
    b.if(
      b.ltS(unbiased, b.i32(0)),
      () => b.set(fraction, significand),
      () => {
        b.set(whole, b.shrU(significand, shift));
        const rest = b.shl(significand, b.and(b.neg(shift), b.i64(63)));
        b.set(fraction, b.select(b.eqz(shift), b.i64(0), rest));
      },
    );
  });
  const f = b.get(fraction);
  const w = b.get(whole);
  const inexact = b.op('i64.ne', f, b.i64(0));
  const above = b.op('i64.ne', b.shl(f, b.i64(1)), b.i64(0));
  const nearest = b.and(b.wrap(b.shrU(f, b.i64(63))), b.or(above, b.wrap(b.and(w, b.i64(1)))));
  const away = b.and(inexact, b.eq(mode, b.sub(b.i32(2), sign)));
  const up = b.select(b.eqz(mode), nearest, away);
  const magnitude = b.add(w, b.extendU(up));
  return { magnitude, inexact, up, carry: b.and(up, b.eqz(magnitude)) };
}

function roundIntegral(c: FloatContext, p: Parts, mode: Value, suppress: Value | undefined): void {
  const { b } = c;
  const { sign, exponent, significand } = c.unpack(p);
  if (c.extended) c.raiseDenormal();
  const s = b.get(significand);
  b.if(b.eqz(s), () => c.returnZero(sign));
  const unbiased = b.sub(b.get(exponent), b.i32(c.format.bias));
  b.if(b.geS(unbiased, b.i32(c.format.precision - 1)), () => c.returnRaw(p));
  const r = toIntegral(c, sign, unbiased, s, mode);
  const flags = b.or(b.i32(EXCEPTION.inexact), c.extended ? b.shl(r.up, b.i32(9)) : b.i32(0));
  b.if(suppress === undefined ? r.inexact : b.and(r.inexact, b.eqz(suppress)), () => c.raise(flags));
  b.if(b.eqz(r.magnitude), () => c.returnZero(sign));
  const shift = b.clz(r.magnitude);
  c.returnParts(sign, b.sub(b.i32(c.format.bias + 63), b.wrap(shift)), b.shl(r.magnitude, shift));
}

/** Converts to a signed integer of `bits` bits and returns it zero-extended. */
function toInteger(c: FloatContext, p: Parts, mode: Value, bits: 16 | 32 | 64): void {
  const { b } = c;
  const keep = (value: Value) => (bits === 64 ? value : b.and(value, b.i64((1n << BigInt(bits)) - 1n)));
  const invalid = () => {
    c.raise(EXCEPTION.invalid);
    b.return(b.i64(1n << BigInt(bits - 1)));
  };
  b.if(b.or(c.isMax(p), c.isUnsupported(p)), invalid);
  const { sign, exponent, significand } = c.unpack(p);
  const unbiased = b.sub(b.get(exponent), b.i32(c.format.bias));
  b.if(b.gtS(unbiased, b.i32(63)), invalid);
  const r = toIntegral(c, sign, unbiased, b.get(significand), mode);
  const limit = b.add(b.i64((1n << BigInt(bits - 1)) - 1n), b.extendU(sign));
  b.if(b.or(r.carry, b.gtU(r.magnitude, limit)), invalid);
  const flags = b.or(b.i32(EXCEPTION.inexact), c.extended ? b.shl(r.up, b.i32(9)) : b.i32(0));
  b.if(r.inexact, () => c.raise(flags));
  b.return(keep(b.select(sign, b.neg(r.magnitude), r.magnitude)));
}

const roundSse = (format: Format) =>
  routine(
    `${format.name}_round`,
    [...format.types, 'i32', 'i32', 'i32'],
    format.result,
    (b, cpu, a, mode, quiet, mxcsr) => {
      const c = new FloatContext(b, cpu, format, mxcsr);
      const p = c.parts([a]);
      handleNan(c, p);
      roundIntegral(c, p, mode, quiet);
    },
  );

const roundExtended = routine(
  'f80_round_int',
  ['i64', 'i32', 'i32'],
  'i64',
  (b, cpu, significand, signExponent, fcw) => {
    const c = new FloatContext(b, cpu, F80, fcw);
    const p = c.parts([significand, signExponent]);
    handleNan(c, p);
    roundIntegral(c, p, c.rounding(), undefined);
  },
);

const convertSse = (format: Format, bits: 32 | 64) =>
  routine(`${format.name}_to_i${bits}`, [...format.types, 'i32', 'i32'], 'i64', (b, cpu, a, mode, mxcsr) => {
    const c = new FloatContext(b, cpu, format, mxcsr);
    toInteger(c, c.parts([a]), mode, bits);
  });

const convertExtended = (bits: 16 | 32 | 64) =>
  routine(`f80_to_i${bits}`, ['i64', 'i32', 'i32'], 'i64', (b, cpu, significand, signExponent, mode) => {
    const c = new FloatContext(b, cpu, F80, b.i32(0));
    toInteger(c, c.parts([significand, signExponent]), mode, bits);
  });

export const integralRoutines: readonly Helper[] = [
  roundSse(F32),
  roundSse(F64),
  roundExtended,
  convertSse(F32, 32),
  convertSse(F32, 64),
  convertSse(F64, 32),
  convertSse(F64, 64),
  convertExtended(16),
  convertExtended(32),
  convertExtended(64),
];

/** For routines of other files: rounds an f80 to an integer below 2^64. */
export { toIntegral };
