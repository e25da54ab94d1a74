/**
 * `f32_`, `f64_` and `f80_` `add`, `sub`, `mul`, `div (a, b, control)` and `sqrt (a, control)`. Exceptions and masked
 * responses follow SDM vol. 1 4.9 and 8.5 (x87), 11.5 (SSE).
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { EXCEPTION, F32, F64, F80, FloatContext, type Format, handleNan, handleNans, type Unpacked } from './format.ts';
import { multiplyWide, rootRest, shiftRightJam } from './wide.ts';

/** Computes on two operands that are no NaNs and returns. */
type Operation = (c: FloatContext, x: Unpacked, y: Unpacked) => void;

function isInfinite(c: FloatContext, x: Unpacked): Value {
  return c.b.eq(c.b.get(x.exponent), c.b.i32(c.format.maxExponent));
}
function isZero(c: FloatContext, x: Unpacked): Value {
  return c.b.eqz(c.b.get(x.significand));
}

/** The sum; `negate` (0 or 1) flips the sign of `y`. */
const sum =
  (negate: number): Operation =>
  (c, x, y) => {
    const { b } = c;
    const ySign = b.xor(y.sign, b.i32(negate));
    const differ = b.xor(x.sign, ySign);
    const xInfinite = isInfinite(c, x);
    b.if(b.or(xInfinite, isInfinite(c, y)), () => {
      b.if(b.and(differ, b.and(xInfinite, isInfinite(c, y))), () => c.returnInvalid());
      c.raiseDenormal();
      c.returnInfinity(b.select(xInfinite, x.sign, ySign));
    });
    c.raiseDenormal();
    b.if(b.or(isZero(c, x), isZero(c, y)), () => {
      b.if(b.and(isZero(c, x), isZero(c, y)), () => {
        c.returnZero(b.select(differ, b.eq(c.rounding(), b.i32(1)), x.sign));
      });
      const useY = isZero(c, x);
      c.returnRounded(
        b.select(useY, ySign, x.sign),
        b.select(useY, b.get(y.exponent), b.get(x.exponent)),
        b.or(b.get(x.significand), b.get(y.significand)),
        b.i64(0),
      );
    });
    sumOfMagnitudes(c, x, { ...y, sign: ySign }, differ);
  };

function sumOfMagnitudes(c: FloatContext, x: Unpacked, y: Unpacked, differ: Value): void {
  const { b } = c;
  const [xe, ye] = [b.get(x.exponent), b.get(y.exponent)];
  const [xs, ys] = [b.get(x.significand), b.get(y.significand)];
  const swap = b.or(b.ltS(xe, ye), b.and(b.eq(xe, ye), b.ltU(xs, ys)));
  const sign = b.select(swap, y.sign, x.sign);
  const exponent = b.select(swap, ye, xe);
  const large = b.select(swap, ys, xs);
  const distance = b.sub(exponent, b.select(swap, xe, ye));
  const small = shiftRightJam(b, b.select(swap, xs, ys), b.i64(0), distance);
  b.if(differ, () => {
    const low = b.neg(small.low);
    const high = b.sub(b.sub(large, small.high), b.extendU(b.op('i64.ne', small.low, b.i64(0))));
    b.if(b.eqz(b.or(high, low)), () => c.returnZero(b.eq(c.rounding(), b.i32(1))));
    b.if(b.eqz(high), () => {
      const shift = b.clz(low);
      c.returnRounded(sign, b.sub(exponent, b.add(b.wrap(shift), b.i32(64))), b.shl(low, shift), b.i64(0));
    });
    const shift = b.clz(high);
    // A shift by 64 would be none: take the low half down in two steps.
    const carried = b.shrU(b.shrU(low, b.i64(1)), b.sub(b.i64(63), shift));
    const normal = b.or(b.shl(high, shift), carried);
    c.returnRounded(sign, b.sub(exponent, b.wrap(shift)), normal, b.shl(low, shift));
  });
  const total = b.add(large, small.high);
  b.if(b.ltU(total, large), () => {
    const lost = b.or(b.or(b.shrU(small.low, b.i64(1)), b.and(small.low, b.i64(1))), b.shl(total, b.i64(63)));
    const high = b.or(b.shrU(total, b.i64(1)), b.i64(1n << 63n));
    c.returnRounded(sign, b.add(exponent, b.i32(1)), high, lost);
  });
  c.returnRounded(sign, exponent, total, small.low);
}

const product: Operation = (c, x, y) => {
  const { b } = c;
  const sign = b.xor(x.sign, y.sign);
  const zero = b.or(isZero(c, x), isZero(c, y));
  b.if(b.or(isInfinite(c, x), isInfinite(c, y)), () => {
    b.if(zero, () => c.returnInvalid());
    c.raiseDenormal();
    c.returnInfinity(sign);
  });
  c.raiseDenormal();
  b.if(zero, () => c.returnZero(sign));
  const { high, low } = multiplyWide(b, b.get(x.significand), b.get(y.significand));
  const exponent = b.sub(b.add(b.get(x.exponent), b.get(y.exponent)), b.i32(c.format.bias - 1));
  b.if(b.op('i64.ge_s', high, b.i64(0)), () => {
    const doubled = b.or(b.shl(high, b.i64(1)), b.shrU(low, b.i64(63)));
    c.returnRounded(sign, b.sub(exponent, b.i32(1)), doubled, b.shl(low, b.i64(1)));
  });
  c.returnRounded(sign, exponent, high, low);
};

const quotient: Operation = (c, x, y) => {
  const { b } = c;
  const sign = b.xor(x.sign, y.sign);
  b.if(isInfinite(c, x), () => {
    b.if(isInfinite(c, y), () => c.returnInvalid());
    c.raiseDenormal();
    c.returnInfinity(sign);
  });
  b.if(isZero(c, y), () => {
    b.if(isZero(c, x), () => c.returnInvalid());
    c.raise(EXCEPTION.zeroDivide);
    c.dropDenormal();
    c.returnInfinity(sign);
  });
  c.raiseDenormal();
  b.if(b.or(isZero(c, x), isInfinite(c, y)), () => c.returnZero(sign));
  const [xs, ys] = [b.get(x.significand), b.get(y.significand)];
  const less = b.ltU(xs, ys);
  const high = b.select(less, xs, b.shrU(xs, b.i64(1)));
  const low = b.select(less, b.i64(0), b.shl(xs, b.i64(63)));
  const q = b.call('wide_divide', c.cpu, high, low, ys);
  const rest = b.sub(low, b.mul(q, ys));
  const difference = b.sub(b.get(x.exponent), b.get(y.exponent));
  const exponent = b.sub(b.add(difference, b.i32(c.format.bias)), less);
  c.returnRounded(sign, exponent, q, fractionOfRest(b, rest, ys));
};

/** What lies below a quotient, as far as rounding needs it: a half bit and a sticky bit. */
function fractionOfRest(b: Builder, rest: Value, divisor: Value): Value {
  const other = b.sub(divisor, rest);
  const half = b.shl(b.extendU(b.geU(rest, other)), b.i64(63));
  const sticky = b.extendU(b.and(b.op('i64.ne', rest, b.i64(0)), b.ne(rest, other)));
  return b.or(half, sticky);
}

function squareRoot(c: FloatContext, x: Unpacked): void {
  const { b } = c;
  b.if(isZero(c, x), () => c.returnZero(x.sign));
  b.if(x.sign, () => c.returnInvalid());
  b.if(isInfinite(c, x), () => c.returnInfinity(x.sign));
  c.raiseDenormal();
  const exponent = b.sub(b.get(x.exponent), b.i32(c.format.bias));
  const s = b.get(x.significand);
  const odd = b.and(exponent, b.i32(1));
  const high = b.select(odd, s, b.shrU(s, b.i64(1)));
  const low = b.select(odd, b.i64(0), b.shl(s, b.i64(63)));
  const root = b.call('wide_root', c.cpu, high, low);
  const rest = rootRest(b, high, low, root);
  const inexact = b.or(rest.high, rest.low);
  const aboveHalf = b.or(b.op('i64.ne', rest.high, b.i64(0)), b.gtU(rest.low, root));
  const half = b.shl(b.extendU(aboveHalf), b.i64(63));
  const extra = b.or(half, b.extendU(b.op('i64.ne', inexact, b.i64(0))));
  c.returnRounded(b.i32(0), b.add(b.shrS(exponent, b.i32(1)), b.i32(c.format.bias)), root, extra);
}

function binary(format: Format, name: string, operation: Operation): Helper {
  const { types, result } = format;
  return routine(`${format.name}_${name}`, [...types, ...types, 'i32'], result, (b, cpu, ...args) => {
    const count = types.length;
    const c = new FloatContext(b, cpu as Value, format, args[2 * count] as Value);
    const x = c.parts(args.slice(0, count));
    const y = c.parts(args.slice(count, 2 * count));
    handleNans(c, x, y);
    operation(c, c.unpack(x), c.unpack(y));
  });
}

function root(format: Format): Helper {
  const { types, result } = format;
  return routine(`${format.name}_sqrt`, [...types, 'i32'], result, (b, cpu, ...args) => {
    const c = new FloatContext(b, cpu as Value, format, args[types.length] as Value);
    const x = c.parts(args.slice(0, types.length));
    handleNan(c, x);
    squareRoot(c, c.unpack(x));
  });
}

export const arithmeticRoutines: readonly Helper[] = [F32, F64, F80].flatMap((format) => [
  binary(format, 'add', sum(0)),
  binary(format, 'sub', sum(1)),
  binary(format, 'mul', product),
  binary(format, 'div', quotient),
  root(format),
]);
