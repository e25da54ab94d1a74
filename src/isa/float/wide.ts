/** 128-bit arithmetic on pairs of i64, as far as significands need it. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';

export interface Wide {
  readonly high: Value;
  readonly low: Value;
}

const LOW_HALF = 0xffff_ffffn;

/** The full product of two unsigned 64-bit numbers. */
export function multiplyWide(b: Builder, x: Value, y: Value): Wide {
  const half = b.i64(32);
  const [x0, x1] = [b.and(x, b.i64(LOW_HALF)), b.shrU(x, half)];
  const [y0, y1] = [b.and(y, b.i64(LOW_HALF)), b.shrU(y, half)];
  const low = b.mul(x0, y0);
  const middle = b.add(b.mul(x1, y0), b.shrU(low, half));
  const cross = b.add(b.mul(x0, y1), b.and(middle, b.i64(LOW_HALF)));
  const high = b.add(b.add(b.mul(x1, y1), b.shrU(middle, half)), b.shrU(cross, half));
  return { high, low: b.or(b.shl(cross, half), b.and(low, b.i64(LOW_HALF))) };
}

/** `(high, low) >> count`, `count` (i32) 0 or more; bits that fall off are ored into bit 0. */
export function shiftRightJam(b: Builder, high: Value, low: Value, count: Value): Wide {
  const h = b.variable('i64', high);
  const l = b.variable('i64', low);
  const n = b.extendU(count);
  const rest = b.and(b.neg(n), b.i64(63));
  const jam = (bits: Value) => b.extendU(b.op('i64.ne', bits, b.i64(0)));
  b.if(count, () => {
    b.if(
      b.ltU(count, b.i32(64)),
      () => {
        const lost = jam(b.shl(low, rest));
        b.set(l, b.or(b.or(b.shl(high, rest), b.shrU(low, n)), lost));
        b.set(h, b.shrU(high, n));
      },
      () => {
        b.set(h, b.i64(0));
        b.if(
          b.geU(count, b.i32(128)),
          () => b.set(l, jam(b.or(high, low))),
          () => {
            const lost = b.select(b.eq(count, b.i32(64)), b.i64(0), b.shl(high, rest));
            b.set(l, b.or(b.shrU(high, n), jam(b.or(lost, low))));
          },
        );
      },
    );
  });
  return { high: b.get(h), low: b.get(l) };
}

/**
 * `wide_divide(high, low, divisor)`: the quotient, where `divisor` has bit 63 set and is greater than `high`. Two
 * steps of long division in base 2^32 (Knuth, The Art of Computer Programming, vol. 2, 4.3.1, algorithm D).
 */
const divide = routine('wide_divide', ['i64', 'i64', 'i64'], 'i64', (b, _cpu, high, low, divisor) => {
  const d1 = b.shrU(divisor, b.i64(32));
  const d0 = b.and(divisor, b.i64(LOW_HALF));
  /** One digit of the quotient of (rest, next digit); the estimate is at most 2 too large. */
  const digit = (rest: Value, next: Value): Value => {
    const q = b.variable('i64', b.op('i64.div_u', rest, d1));
    const r = b.variable('i64', b.sub(rest, b.mul(b.get(q), d1)));
    b.block((done) => {
      b.loop((again) => {
        const tooLarge = b.gtU(b.mul(b.get(q), d0), b.or(b.shl(b.get(r), b.i64(32)), next));
        b.branchIf(done, b.eqz(b.or(b.op('i64.gt_u', b.get(q), b.i64(LOW_HALF)), tooLarge)));
        b.set(q, b.sub(b.get(q), b.i64(1)));
        b.set(r, b.add(b.get(r), d1));
        b.branchIf(again, b.leU(b.get(r), b.i64(LOW_HALF)));
      });
    });
    return b.get(q);
  };
  const next1 = b.shrU(low, b.i64(32));
  const next0 = b.and(low, b.i64(LOW_HALF));
  const q1 = digit(high, next1);
  const rest = b.sub(b.or(b.shl(high, b.i64(32)), next1), b.mul(q1, divisor));
  b.return(b.or(b.shl(q1, b.i64(32)), digit(rest, next0)));
});

/**
 * `wide_root(high, low)`: the integer square root of a number of at least 2^126. A double-precision estimate has 52
 * right bits, one Newton step makes them more than 64, and what is then off by one is put right.
 */
const root = routine('wide_root', ['i64', 'i64'], 'i64', (b, cpu, high, low) => {
  const scaled = b.op('f64.mul', b.op('f64.convert_i64_u', high), b.f64(2 ** 64));
  const estimate = b.op('i64.trunc_sat_f64_u', b.op('f64.sqrt', scaled));
  const quotient = b.variable('i64', b.i64(-1));
  b.if(b.gtU(estimate, high), () => b.set(quotient, b.call('wide_divide', cpu, high, low, estimate)));
  const q = b.get(quotient);
  const odd = b.and(b.and(estimate, q), b.i64(1));
  const r = b.variable('i64', b.add(b.add(b.shrU(estimate, b.i64(1)), b.shrU(q, b.i64(1))), odd));
  b.block((done) => {
    b.loop((again) => {
      const square = multiplyWide(b, b.get(r), b.get(r));
      const less = b.or(b.ltU(high, square.high), b.and(b.eq(high, square.high), b.ltU(low, square.low)));
      b.branchIf(done, b.eqz(less));
      b.set(r, b.sub(b.get(r), b.i64(1)));
      b.branch(again);
    });
  });
  b.block((done) => {
    b.loop((again) => {
      const rest = rootRest(b, high, low, b.get(r));
      const twice = { high: b.shrU(b.get(r), b.i64(63)), low: b.shl(b.get(r), b.i64(1)) };
      const more = b.or(b.gtU(rest.high, twice.high), b.and(b.eq(rest.high, twice.high), b.gtU(rest.low, twice.low)));
      b.branchIf(done, b.eqz(more));
      b.set(r, b.add(b.get(r), b.i64(1)));
      b.branch(again);
    });
  });
  b.return(b.get(r));
});

/** `(high, low) - r * r`. */
export function rootRest(b: Builder, high: Value, low: Value, r: Value): Wide {
  const square = multiplyWide(b, r, r);
  const borrow = b.extendU(b.ltU(low, square.low));
  return { high: b.sub(b.sub(high, square.high), borrow), low: b.sub(low, square.low) };
}

export const wideRoutines: readonly Helper[] = [divide, root];
