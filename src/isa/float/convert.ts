/**
 * Conversions between formats and from integers.
 *
 * - `f32_to_f64`, `f64_to_f32 (a, mxcsr)`; `i32_to_f32`, `i64_to_f32`, `i64_to_f64 (a, mxcsr)`
 * - `f32_to_f80`, `f64_to_f80 (a)` convert and quieten; `f32_widen`, `f64_widen (a)` leave a signalling NaN as it is,
 *   for an operation that follows in the same instruction
 * - `f80_to_f32`, `f80_to_f64 (significand, signExponent, fcw)`; `i64_to_f80 (a)`
 */
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { F32, F64, F80, FloatContext, type Format, type Unpacked } from './format.ts';

/** Control bits of the word of `from`'s family, for a result of the other family's format. */
function target(c: FloatContext, format: Format): FloatContext {
  return new FloatContext(c.b, c.cpu, format, c.control);
}

/** Returns zero and infinities of another format; leaves the rest. */
function passSpecial(from: FloatContext, to: FloatContext, x: Unpacked): void {
  const { b } = from;
  b.if(b.eqz(b.get(x.significand)), () => to.returnZero(x.sign));
  b.if(b.eq(b.get(x.exponent), b.i32(from.format.maxExponent)), () => to.returnInfinity(x.sign));
}

const between = (from: Format, to: Format) =>
  routine(`${from.name}_to_${to.name}`, [...from.types, 'i32'], to.result, (b, cpu, a, mxcsr) => {
    const source = new FloatContext(b, cpu, from, mxcsr);
    const result = target(source, to);
    const p = source.parts([a]);
    b.if(source.isNan(p), () =>
      result.returnQuiet(p.sign, quietFraction(result, p.significand), source.isSignalling(p)),
    );
    const x = source.unpack(p);
    source.raiseDenormal();
    passSpecial(source, result, x);
    const exponent = b.add(b.get(x.exponent), b.i32(to.bias - from.bias));
    result.returnRounded(x.sign, exponent, b.get(x.significand), b.i64(0));
  });

/** The part of a NaN's significand that the narrower format holds. */
function quietFraction(c: FloatContext, significand: Value): Value {
  return c.b.and(significand, c.b.i64(-(1n << BigInt(64 - c.format.precision))));
}

const fromInteger = (name: string, to: Format, type: 'i32' | 'i64') =>
  routine(`${name}_to_${to.name}`, [type, 'i32'], to.result, (b, cpu, a, mxcsr) => {
    const c = new FloatContext(b, cpu, to, mxcsr);
    const value = type === 'i32' ? b.extendS(a) : a;
    b.if(b.eqz(value), () => c.returnZero(b.i32(0)));
    const sign = b.wrap(b.shrU(value, b.i64(63)));
    const magnitude = b.select(sign, b.neg(value), value);
    const shift = b.clz(magnitude);
    c.returnRounded(sign, b.sub(b.i32(to.bias + 63), b.wrap(shift)), b.shl(magnitude, shift), b.i64(0));
  });

const integerToExtended = routine('i64_to_f80', ['i64'], 'i64', (b, cpu, value) => {
  const c = new FloatContext(b, cpu, F80, b.i32(0));
  b.if(b.eqz(value), () => c.returnZero(b.i32(0)));
  const sign = b.wrap(b.shrU(value, b.i64(63)));
  const magnitude = b.select(sign, b.neg(value), value);
  const shift = b.clz(magnitude);
  c.returnParts(sign, b.sub(b.i32(F80.bias + 63), b.wrap(shift)), b.shl(magnitude, shift));
});

const widen = (from: Format, quieten: boolean) =>
  routine(`${from.name}_${quieten ? 'to_f80' : 'widen'}`, from.types, 'i64', (b, cpu, a) => {
    const source = new FloatContext(b, cpu, from, b.i32(0));
    const result = target(source, F80);
    const p = source.parts([a]);
    b.if(source.isNan(p), () => {
      if (quieten) result.returnQuiet(p.sign, p.significand, source.isSignalling(p));
      else result.returnParts(p.sign, b.i32(F80.maxExponent), p.significand);
    });
    const x = source.unpack(p);
    source.raiseDenormal();
    passSpecial(source, result, x);
    result.returnParts(x.sign, b.add(b.get(x.exponent), b.i32(F80.bias - from.bias)), b.get(x.significand));
  });

/** The rounding control and masks of an x87 control word where MXCSR has them, and the bit that asks for C1. */
function asMxcsr(c: FloatContext): Value {
  const { b } = c;
  return b.or(b.or(b.shl(c.bit(0xc00), b.i32(3)), b.shl(c.bit(0x3f), b.i32(7))), b.i32(1 << 31));
}

const narrow = (to: Format) =>
  routine(`f80_to_${to.name}`, ['i64', 'i32', 'i32'], to.result, (b, cpu, significand, signExponent, fcw) => {
    const source = new FloatContext(b, cpu, F80, fcw);
    const result = new FloatContext(b, cpu, to, asMxcsr(source));
    const p = source.parts([significand, signExponent]);
    b.if(source.isUnsupported(p), () => result.returnInvalid());
    b.if(source.isNan(p), () =>
      result.returnQuiet(p.sign, quietFraction(result, p.significand), source.isSignalling(p)),
    );
    const x = source.unpack(p);
    passSpecial(source, result, x);
    const exponent = b.add(b.get(x.exponent), b.i32(to.bias - F80.bias));
    result.returnRounded(x.sign, exponent, b.get(x.significand), b.i64(0));
  });

export const convertRoutines: readonly Helper[] = [
  between(F32, F64),
  between(F64, F32),
  fromInteger('i32', F32, 'i32'),
  fromInteger('i64', F32, 'i64'),
  fromInteger('i64', F64, 'i64'),
  integerToExtended,
  widen(F32, true),
  widen(F64, true),
  widen(F32, false),
  widen(F64, false),
  narrow(F32),
  narrow(F64),
];
