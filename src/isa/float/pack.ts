/**
 * Rounding: `f32_pack`, `f64_pack (sign, exponent, significand, mxcsr)` and `f80_pack (sign, exponent, significand,
 * extra, fcw)` make a number of a format out of an exact or sticky significand whose bit 63 is set. Tininess is
 * detected after rounding (SDM vol. 1 4.9.1.5). Bit 31 of `mxcsr`, which MXCSR does not have, asks for C1 as x87 stores
 * of f32 and f64 report it.
 */
import type { Value, Variable } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { EXCEPTION, F32, F64, F80, FloatContext, type Format } from './format.ts';
import { shiftRightJam } from './wide.ts';

/** What x87 adds to or takes from an exponent when it delivers a result to an unmasked handler (SDM vol. 1 8.5.4). */
const BIAS_ADJUST = 24576;

interface Rounding {
  /** Ones where the significand has bits beyond the precision. */
  readonly mask: Value;
  /** Added before the bits under `mask` are cut off. */
  readonly increment: Value;
  readonly nearest: Value;
  /** Directed rounding goes away from zero. */
  readonly away: Value;
}

function roundingOf(c: FloatContext, sign: Value): Rounding {
  const { b } = c;
  const rc = c.rounding();
  const nearest = b.eqz(rc);
  const away = b.eq(rc, b.sub(b.i32(2), sign));
  let mask = b.i64((1n << BigInt(64 - c.format.precision)) - 1n);
  if (c.extended) {
    const double = b.op('i32.eq', c.bit(0x300), b.i32(0x200));
    mask = b.select(double, b.i64(0x7ff), b.select(c.bit(0x300), b.i64(0), b.i64((1n << 40n) - 1n)));
  }
  const half = b.sub(mask, b.shrU(mask, b.i64(1)));
  const increment = b.select(nearest, half, b.select(away, mask, b.i64(0)));
  return { mask, increment, nearest, away };
}

/** Whether 64 bits of precision round up by what lies below them. */
function extraRoundsUp(c: FloatContext, r: Rounding, significand: Value, extra: Value): Value {
  const { b } = c;
  const above = b.op('i64.ne', b.shl(extra, b.i64(1)), b.i64(0));
  const odd = b.wrap(b.and(significand, b.i64(1)));
  const toNearest = b.and(b.wrap(b.shrU(extra, b.i64(63))), b.or(above, odd));
  return b.select(r.nearest, toNearest, b.and(r.away, b.op('i64.ne', extra, b.i64(0))));
}

/** All ones where C1 is to tell that the result was rounded up. */
function reportsRoundUp(c: FloatContext): Value {
  return c.extended ? c.b.i32(-1) : c.b.shrS(c.control, c.b.i32(31));
}

function pack(c: FloatContext, sign: Value, exponent: Value, significand: Value, extra: Value): void {
  const { b } = c;
  const r = roundingOf(c, sign);
  const s = b.variable('i64', significand);
  const x = b.variable('i64', extra);
  const e = b.variable('i32', exponent);
  const tiny = b.variable('i32', b.i32(0));
  if (c.extended) {
    b.if(b.op('i64.ne', r.mask, b.i64(0)), () => {
      b.set(s, b.or(significand, b.extendU(b.op('i64.ne', extra, b.i64(0)))));
      b.set(x, b.i64(0));
    });
  }
  b.if(b.leS(exponent, b.i32(0)), () => underflow(c, { sign, e, s, x, tiny }, r));
  const before = b.get(s);
  const sum = b.add(before, r.increment);
  const tie = b.and(r.nearest, b.eq(b.and(before, r.mask), b.sub(r.mask, b.shrU(r.mask, b.i64(1)))));
  const rounded = b.variable('i64', b.and(sum, b.not(r.mask)));
  const carry = b.variable('i32', b.ltU(sum, before));
  // Without bits to cut off a "tie" at 0 would clear the last bit.
  const lastBit = b.select(b.op('i64.ne', r.mask, b.i64(0)), b.add(r.mask, b.i64(1)), b.i64(0));
  b.if(tie, () => b.set(rounded, b.and(b.get(rounded), b.not(lastBit))));
  const inexact = b.variable('i32', b.op('i64.ne', b.and(before, r.mask), b.i64(0)));
  if (c.extended) {
    b.if(b.op('i64.ne', b.get(x), b.i64(0)), () => {
      const up = extraRoundsUp(c, r, before, b.get(x));
      b.set(rounded, b.add(before, b.extendU(up)));
      b.set(carry, b.ltU(b.get(rounded), before));
      b.set(inexact, b.i32(1));
    });
  }
  b.if(b.get(inexact), () => {
    const flags = b.or(b.i32(EXCEPTION.inexact), b.mul(b.get(tiny), b.i32(EXCEPTION.underflow)));
    const up = b.or(b.ne(b.get(rounded), b.and(before, b.not(r.mask))), b.get(carry));
    c.raise(b.or(flags, b.and(b.shl(up, b.i32(9)), reportsRoundUp(c))));
  });
  b.if(
    b.get(carry),
    () => {
      b.set(rounded, b.i64(1n << 63n));
      b.set(e, b.add(b.get(e), b.i32(1)));
    },
    // A denormal that rounds up to the least normal number.
    () => b.if(b.eqz(b.get(e)), () => b.set(e, b.wrap(b.shrU(b.get(rounded), b.i64(63))))),
  );
  b.if(b.geS(b.get(e), b.i32(c.format.maxExponent)), () => overflow(c, sign, e, r));
  c.returnParts(sign, b.get(e), b.get(rounded));
}

interface Draft {
  readonly sign: Value;
  readonly e: Variable;
  readonly s: Variable;
  readonly x: Variable;
  readonly tiny: Variable;
}

/** The exponent is below that of the least normal number: finds out whether the result is tiny, makes it denormal. */
function underflow(c: FloatContext, d: Draft, r: Rounding): void {
  const { b } = c;
  const s = b.get(d.s);
  const carries = b.variable('i32', b.ltU(b.add(s, r.increment), s));
  if (c.extended) {
    b.if(b.eqz(r.mask), () => {
      b.set(carries, b.and(b.eq(s, b.i64(-1)), extraRoundsUp(c, r, s, b.get(d.x))));
    });
  }
  const tiny = b.eqz(b.and(b.eqz(b.get(d.e)), b.get(carries)));
  b.set(d.tiny, tiny);
  b.if(b.and(tiny, b.eqz(c.masked(EXCEPTION.underflow))), () => {
    c.raise(EXCEPTION.underflow);
    // An SSE result, or one on its way to memory, is not written: only whether it is inexact counts.
    b.set(d.e, c.extended ? b.add(b.get(d.e), b.i32(BIAS_ADJUST)) : b.i32(1));
    if (!c.extended) return;
    b.if(b.leS(b.get(d.e), b.i32(0)), () => {
      c.raise(EXCEPTION.inexact);
      c.returnZero(d.sign);
    });
  });
  if (!c.extended) {
    const flush = b.and(
      b.op('i32.ne', c.bit(1 << 15), b.i32(0)),
      b.op('i32.ne', c.masked(EXCEPTION.underflow), b.i32(0)),
    );
    b.if(b.and(tiny, flush), () => {
      c.raise(EXCEPTION.underflow | EXCEPTION.inexact);
      c.returnZero(d.sign);
    });
  }
  b.if(b.leS(b.get(d.e), b.i32(0)), () => {
    const shifted = shiftRightJam(b, s, b.get(d.x), b.sub(b.i32(1), b.get(d.e)));
    b.set(d.e, b.i32(0));
    if (!c.extended) {
      b.set(d.s, b.or(shifted.high, b.extendU(b.op('i64.ne', shifted.low, b.i64(0)))));
      return;
    }
    b.set(d.s, shifted.high);
    b.set(d.x, shifted.low);
    b.if(b.op('i64.ne', r.mask, b.i64(0)), () => {
      b.set(d.s, b.or(shifted.high, b.extendU(b.op('i64.ne', shifted.low, b.i64(0)))));
      b.set(d.x, b.i64(0));
    });
  });
}

/** The rounded exponent is too large. */
function overflow(c: FloatContext, sign: Value, e: Variable, r: Rounding): void {
  const { b } = c;
  const masked = () => {
    c.raise(EXCEPTION.overflow | EXCEPTION.inexact);
    b.if(b.or(r.nearest, r.away), () => {
      c.raise(b.and(b.i32(EXCEPTION.c1), reportsRoundUp(c)));
      c.returnInfinity(sign);
    });
    c.returnParts(sign, b.i32(c.format.maxExponent - 1), b.not(r.mask));
  };
  b.if(c.masked(EXCEPTION.overflow), masked, () => {
    c.raise(EXCEPTION.overflow);
    if (!c.extended) c.returnInfinity(sign);
    b.set(e, b.sub(b.get(e), b.i32(BIAS_ADJUST)));
    b.if(b.geS(b.get(e), b.i32(c.format.maxExponent)), () => {
      c.raise(EXCEPTION.inexact | EXCEPTION.c1);
      c.returnInfinity(sign);
    });
  });
}

const packSse = (format: Format) =>
  routine(`${format.name}_pack`, ['i32', 'i32', 'i64', 'i32'], format.result, (b, cpu, sign, exponent, sig, mxcsr) =>
    pack(new FloatContext(b, cpu, format, mxcsr), sign, exponent, sig, b.i64(0)),
  );

const packExtended = routine(
  'f80_pack',
  ['i32', 'i32', 'i64', 'i64', 'i32'],
  'i64',
  (b, cpu, sign, exponent, significand, extra, fcw) =>
    pack(new FloatContext(b, cpu, F80, fcw), sign, exponent, significand, extra),
);

export const packRoutines: readonly Helper[] = [packSse(F32), packSse(F64), packExtended];
