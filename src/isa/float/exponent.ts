/**
 * x87 operations on exponents and remainders: `f80_scale (a, b, fcw)`; `f80_extract (a)` and `f80_extract_exponent (a)`,
 * the two results of FXTRACT; `f80_rem (a, b, nearest, fcw)`, one step of FPREM or, with `nearest`, FPREM1, which reports
 * C0–C3 in `fpExceptions` at their places in the status word.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import {
  DEFINED_SHIFT,
  EXCEPTION,
  F80,
  FloatContext,
  FULL_PRECISION,
  handleNan,
  handleNans,
  type Unpacked,
} from './format.ts';

/** A context that rounds to 64 bits whatever the precision control, underflow masked where `control` says so. */
function fullContext(b: Builder, cpu: Value, control: Value): FloatContext {
  return new FloatContext(b, cpu, F80, b.or(control, b.i32(FULL_PRECISION)));
}

const scale = routine('f80_scale', ['i64', 'i32', 'i64', 'i32', 'i32'], 'i64', (b, cpu, as, ae, bs, be, fcw) => {
  const c = fullContext(b, cpu, fcw);
  const p = c.parts([as, ae]);
  const q = c.parts([bs, be]);
  handleNans(c, p, q);
  const x = c.unpack(p);
  const y = c.unpack(q);
  const zero = b.eqz(b.get(x.significand));
  b.if(c.isMax(q), () => {
    b.if(b.select(q.sign, c.isMax(p), zero), () => c.returnInvalid());
    c.raiseDenormal();
    b.if(q.sign, () => c.returnZero(p.sign));
    c.returnInfinity(p.sign);
  });
  c.raiseDenormal();
  b.if(b.or(zero, c.isMax(p)), () => c.returnRaw(p));
  const unbiased = b.sub(b.get(y.exponent), b.i32(F80.bias));
  // More than the largest distance of two exponents is all the same.
  const amount = b.variable('i32', b.i32(0));
  b.if(b.geS(unbiased, b.i32(0)), () => {
    const whole = b.wrap(b.shrU(b.get(y.significand), b.extendU(b.sub(b.i32(63), unbiased))));
    b.set(amount, b.select(b.gtS(unbiased, b.i32(16)), b.i32(0x20000), whole));
  });
  const distance = b.select(q.sign, b.neg(b.get(amount)), b.get(amount));
  c.returnRounded(x.sign, b.add(b.get(x.exponent), distance), b.get(x.significand), b.i64(0));
});

const significandPart = routine('f80_extract', ['i64', 'i32'], 'i64', (b, cpu, as, ae) => {
  const c = new FloatContext(b, cpu, F80, b.i32(0));
  const p = c.parts([as, ae]);
  handleNan(c, p);
  const x = c.unpack(p);
  c.raiseDenormal();
  b.if(b.or(c.isMax(p), b.eqz(b.get(x.significand))), () => c.returnRaw(p));
  c.returnParts(x.sign, b.i32(F80.bias), b.get(x.significand));
});

const exponentPart = routine('f80_extract_exponent', ['i64', 'i32'], 'i64', (b, cpu, as, ae) => {
  const c = new FloatContext(b, cpu, F80, b.i32(0));
  const p = c.parts([as, ae]);
  handleNan(c, p);
  b.if(c.isMax(p), () => c.returnInfinity(b.i32(0)));
  const x = c.unpack(p);
  c.raiseDenormal();
  b.if(b.eqz(b.get(x.significand)), () => {
    c.raise(EXCEPTION.zeroDivide);
    c.returnInfinity(b.i32(1));
  });
  b.return(b.call('i64_to_f80', cpu, b.extendS(b.sub(b.get(x.exponent), b.i32(F80.bias)))));
});

/** Tells that C0 and C3 are defined: they stay as they are where there is no quotient. */
const QUOTIENT_CODES = (EXCEPTION.c0 | EXCEPTION.c3) << DEFINED_SHIFT;

/** Quotient (its low bits) and rest of a long division, one bit for each step from `distance` down to `stop`. */
function divideSteps(b: Builder, x: Value, y: Value, distance: Value): { quotient: Value; rest: Value } {
  const rest = b.variable('i64', x);
  const quotient = b.variable('i64', b.i64(0));
  const steps = b.variable('i32', distance);
  const carry = b.variable('i32', b.i32(0));
  b.loop((again) => {
    const fits = b.or(b.get(carry), b.geU(b.get(rest), y));
    b.set(rest, b.select(fits, b.sub(b.get(rest), y), b.get(rest)));
    b.set(quotient, b.or(b.shl(b.get(quotient), b.i64(1)), b.extendU(fits)));
    b.if(b.get(steps), () => {
      b.set(carry, b.wrap(b.shrU(b.get(rest), b.i64(63))));
      b.set(rest, b.shl(b.get(rest), b.i64(1)));
      b.set(steps, b.sub(b.get(steps), b.i32(1)));
      b.branch(again);
    });
  });
  return { quotient: b.get(quotient), rest: b.get(rest) };
}

const remainder = routine(
  'f80_rem',
  ['i64', 'i32', 'i64', 'i32', 'i32', 'i32'],
  'i64',
  (b, cpu, as, ae, bs, be, ...rest) => {
    const [nearest, fcw] = rest as [Value, Value];
    const c = fullContext(b, cpu, fcw);
    const p = c.parts([as, ae]);
    const q = c.parts([bs, be]);
    handleNans(c, p, q);
    const x = c.unpack(p);
    const y = c.unpack(q);
    b.if(b.or(c.isMax(p), b.eqz(b.get(y.significand))), () => c.returnInvalid());
    c.raiseDenormal();
    b.if(b.or(b.eqz(b.get(x.significand)), c.isMax(q)), () => {
      c.raise(QUOTIENT_CODES);
      b.if(b.eqz(b.get(x.significand)), () => c.returnZero(p.sign));
      c.returnRounded(p.sign, b.get(x.exponent), b.get(x.significand), b.i64(0));
    });
    const distance = b.sub(b.get(x.exponent), b.get(y.exponent));
    b.if(b.geS(distance, b.i32(64)), () => partialRemainder(c, x, y, distance));
    const sign = b.variable('i32', p.sign);
    const quotient = b.variable('i64', b.i64(0));
    const remains = b.variable('i64', b.get(x.significand));
    const exponent = b.variable('i32', b.get(x.exponent));
    b.if(b.geS(distance, b.i32(0)), () => {
      const r = divideSteps(b, b.get(x.significand), b.get(y.significand), distance);
      b.set(quotient, r.quotient);
      b.set(remains, r.rest);
      b.set(exponent, b.get(y.exponent));
    });
    b.if(nearest, () => {
      const divisor = b.get(y.significand);
      const r = b.get(remains);
      const whole = b.geS(distance, b.i32(0));
      const other = b.sub(divisor, r);
      const odd = b.wrap(b.and(b.get(quotient), b.i64(1)));
      const roundsUp = b.select(
        whole,
        b.or(b.gtU(r, other), b.and(odd, b.eq(r, other))),
        b.and(b.eq(distance, b.i32(-1)), b.gtU(r, divisor)),
      );
      b.if(roundsUp, () => {
        // Below the divisor's exponent the rest counts in halves of its unit.
        b.set(remains, b.select(whole, other, b.sub(b.shl(divisor, b.i64(1)), r)));
        b.set(quotient, b.add(b.get(quotient), b.i64(1)));
        b.set(sign, b.xor(b.get(sign), b.i32(1)));
      });
    });
    const low = b.wrap(b.get(quotient));
    const at = (bit: number, place: number) => b.shl(b.and(b.shrU(low, b.i32(bit)), b.i32(1)), b.i32(place));
    c.raise(b.or(b.or(at(2, 8), b.i32(QUOTIENT_CODES)), b.or(at(1, 14), at(0, 9))));
    returnRest(c, b.get(sign), b.get(exponent), b.get(remains), p.sign);
  },
);

/** The exponents are too far apart for one step: reduces the dividend and sets C2. */
function partialRemainder(c: FloatContext, x: Unpacked, y: Unpacked, distance: Value): void {
  const { b } = c;
  const steps = b.or(b.and(distance, b.i32(31)), b.i32(32));
  const { rest } = divideSteps(b, b.get(x.significand), b.get(y.significand), steps);
  c.raise(EXCEPTION.c2 | QUOTIENT_CODES);
  returnRest(c, x.sign, b.sub(b.get(x.exponent), steps), rest, x.sign);
}

function returnRest(c: FloatContext, sign: Value, exponent: Value, rest: Value, zeroSign: Value): void {
  const { b } = c;
  b.if(b.eqz(rest), () => c.returnZero(zeroSign));
  const shift = b.clz(rest);
  c.returnRounded(sign, b.sub(exponent, b.wrap(shift)), b.shl(rest, shift), b.i64(0));
}

export const exponentRoutines: readonly Helper[] = [scale, significandPart, exponentPart, remainder];
