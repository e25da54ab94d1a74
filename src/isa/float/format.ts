/**
 * The three binary formats of x86 (SDM vol. 1 4.2.2), and the context in which a floating-point routine is built: its
 * format, where its control bits stand and how it reports exceptions and returns.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value, Variable } from '../../ir/node.ts';
import type { Type } from '../../ir/types.ts';
import { VCPU } from '../state.ts';

export interface Format {
  readonly name: 'f32' | 'f64' | 'f80';
  /** Bits of the significand, the integer bit included. */
  readonly precision: 24 | 53 | 64;
  readonly bias: number;
  /** Biased exponent of infinities and NaNs. */
  readonly maxExponent: number;
  /** IR types of the values that make up one number. */
  readonly types: readonly Type[];
  /** IR type of a result; the sign and exponent of an f80 result go to `fpResultExponent`. */
  readonly result: 'i32' | 'i64';
}

export const F32: Format = { name: 'f32', precision: 24, bias: 127, maxExponent: 0xff, types: ['i32'], result: 'i32' };
export const F64: Format = {
  name: 'f64',
  precision: 53,
  bias: 1023,
  maxExponent: 0x7ff,
  types: ['i64'],
  result: 'i64',
};
export const F80: Format = {
  name: 'f80',
  precision: 64,
  bias: 16383,
  maxExponent: 0x7fff,
  types: ['i64', 'i32'],
  result: 'i64',
};

/** Exception flags as MXCSR and the x87 status word hold them, and where the x87 routines report condition codes. */
export const EXCEPTION = {
  invalid: 1,
  denormal: 2,
  zeroDivide: 4,
  overflow: 8,
  underflow: 16,
  inexact: 32,
  stackFault: 64,
  c0: 0x100,
  c1: 0x200,
  c2: 0x400,
  c3: 0x4000,
} as const;

/** `fpExceptions` has the condition codes that an f80 routine defines this far above their places. */
export const DEFINED_SHIFT = 16;

/** Rounding modes as both control words encode them. */
export const ROUNDING = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** Precision control of the x87 control word: results have 64 bits. */
export const FULL_PRECISION = 0x300;

const INTEGER_BIT = 1n << 63n;

/** A number taken apart. `significand` has its integer bit at bit 63. */
export interface Parts {
  /** 0 or 1. */
  readonly sign: Value;
  /** Biased, as encoded. */
  readonly exponent: Value;
  /** As encoded: not normalised where the exponent is 0. */
  readonly significand: Value;
  /** The values it was made of. */
  readonly raw: readonly Value[];
}

/** A finite number whose significand is normalised, or zero: then `significand` is 0. Infinities have `maxExponent`. */
export interface Unpacked {
  readonly sign: Value;
  readonly exponent: Variable;
  readonly significand: Variable;
}

export class FloatContext {
  readonly b: Builder;
  readonly cpu: Value;
  readonly format: Format;
  /** MXCSR for f32 and f64, the x87 control word for f80. */
  readonly control: Value;
  /** Holds the denormal-operand flag until it is known that nothing of higher priority is met. */
  readonly denormal: Variable;

  constructor(b: Builder, cpu: Value, format: Format, control: Value) {
    this.b = b;
    this.cpu = cpu;
    this.format = format;
    this.control = control;
    this.denormal = b.variable('i32', b.i32(0));
  }

  get extended(): boolean {
    return this.format.name === 'f80';
  }
  bit(mask: number): Value {
    return this.b.and(this.control, this.b.i32(mask));
  }
  /** The rounding mode, 0–3. */
  rounding(): Value {
    const { b } = this;
    return b.and(b.shrU(this.control, b.i32(this.extended ? 10 : 13)), b.i32(3));
  }
  /** Not 0 where the exception is masked. */
  masked(exception: number): Value {
    return this.bit(this.extended ? exception : exception << 7);
  }

  /** Reports exceptions. */
  raise(flags: number | Value): void {
    const { b } = this;
    const value = typeof flags === 'number' ? b.i32(flags) : flags;
    const old = b.loadHost('i32.load', this.cpu, VCPU.offsets.fpExceptions);
    b.storeHost('i32.store', this.cpu, b.or(old, value), VCPU.offsets.fpExceptions);
  }
  /**
   * For operands that take precedence over a denormal one. An f80 operand from memory was widened before, which may
   * have reported it.
   */
  dropDenormal(): void {
    if (!this.extended) return;
    const { b } = this;
    const old = b.loadHost('i32.load', this.cpu, VCPU.offsets.fpExceptions);
    b.storeHost('i32.store', this.cpu, b.and(old, b.i32(~EXCEPTION.denormal)), VCPU.offsets.fpExceptions);
  }
  raiseDenormal(): void {
    this.b.if(this.b.get(this.denormal), () => this.raise(EXCEPTION.denormal));
  }

  /** Takes `values` (of `format.types`) apart. */
  parts(values: readonly Value[]): Parts {
    const { b, format } = this;
    const [first, second] = values as [Value, Value];
    if (format.name === 'f80') {
      const exponent = b.and(second, b.i32(0x7fff));
      return { sign: b.and(b.shrU(second, b.i32(15)), b.i32(1)), exponent, significand: first, raw: values };
    }
    const single = format.name === 'f32';
    const bits = single ? b.extendU(first) : first;
    const exponent = b.wrap(b.and(b.shrU(bits, b.i64(format.precision - 1)), b.i64(format.maxExponent)));
    const sign = b.wrap(b.and(b.shrU(bits, b.i64(single ? 31 : 63)), b.i64(1)));
    const fraction = b.and(b.shl(bits, b.i64(64 - format.precision)), b.i64(INTEGER_BIT - 1n));
    const integer = b.select(exponent, b.i64(INTEGER_BIT), b.i64(0n));
    return { sign, exponent, significand: b.or(fraction, integer), raw: values };
  }

  isMax(p: Parts): Value {
    return this.b.eq(p.exponent, this.b.i32(this.format.maxExponent));
  }
  isNan(p: Parts): Value {
    return this.b.and(this.isMax(p), this.b.op('i64.ne', this.b.shl(p.significand, this.b.i64(1)), this.b.i64(0)));
  }
  /** For a NaN: it signals. */
  isSignalling(p: Parts): Value {
    const { b } = this;
    return b.and(this.isNan(p), b.eqz(b.and(p.significand, b.i64(1n << 62n))));
  }
  /** An f80 encoding without its integer bit: unnormals, pseudo-infinities, pseudo-NaNs (SDM vol. 1 8.2.2). */
  isUnsupported(p: Parts): Value {
    const { b } = this;
    if (!this.extended) return b.i32(0);
    return b.and(b.op('i32.ne', p.exponent, b.i32(0)), b.op('i64.ge_s', p.significand, b.i64(0)));
  }

  /**
   * Normalises an operand that is no NaN. A denormal is noted in `denormal`, or taken for zero under DAZ.
   */
  unpack(p: Parts): Unpacked {
    const { b } = this;
    const exponent = b.variable('i32', p.exponent);
    const significand = b.variable('i64', p.significand);
    b.if(b.eqz(p.exponent), () => {
      b.if(b.op('i64.ne', p.significand, b.i64(0)), () => {
        const normalise = () => {
          const shift = b.clz(p.significand);
          b.set(this.denormal, b.i32(1));
          b.set(significand, b.shl(p.significand, shift));
          b.set(exponent, b.sub(b.i32(1), b.wrap(shift)));
        };
        if (this.extended) normalise();
        else b.if(this.bit(1 << 6), () => b.set(significand, b.i64(0)), normalise);
      });
    });
    return { sign: p.sign, exponent, significand };
  }

  /** Returns a number put together from its fields; `significand` has the integer bit at bit 63. */
  returnParts(sign: Value, exponent: Value, significand: Value): void {
    const { b, format } = this;
    if (format.name === 'f80') {
      const signExponent = b.or(b.shl(sign, b.i32(15)), exponent);
      b.storeHost('i32.store', this.cpu, signExponent, VCPU.offsets.fpResultExponent);
      b.return(significand);
      return;
    }
    const fraction = b.shrU(b.shl(significand, b.i64(1)), b.i64(65 - format.precision));
    const high = b.shl(b.extendU(exponent), b.i64(format.precision - 1));
    const all = b.or(fraction, high);
    if (format.name === 'f32') b.return(b.or(b.wrap(all), b.shl(sign, b.i32(31))));
    else b.return(b.or(all, b.shl(b.extendU(sign), b.i64(63))));
  }
  returnZero(sign: Value): void {
    this.returnParts(sign, this.b.i32(0), this.b.i64(0));
  }
  returnInfinity(sign: Value): void {
    this.returnParts(sign, this.b.i32(this.format.maxExponent), this.b.i64(INTEGER_BIT));
  }
  /** Returns one operand as it is. */
  returnRaw(p: Parts): void {
    if (this.extended) this.returnParts(p.sign, p.exponent, p.significand);
    else this.b.return(p.raw[0]);
  }
  /** Invalid operation: returns the default NaN. */
  returnInvalid(): void {
    this.dropDenormal();
    this.raise(EXCEPTION.invalid);
    this.returnParts(this.b.i32(1), this.b.i32(this.format.maxExponent), this.b.i64(0b11n << 62n));
  }
  /** Returns a NaN operand, made quiet; reports `invalid` (i32) as invalid. */
  returnQuiet(sign: Value, significand: Value, invalid: Value): void {
    const { b } = this;
    this.dropDenormal();
    this.raise(invalid);
    this.returnParts(sign, b.i32(this.format.maxExponent), b.or(significand, b.i64(0b11n << 62n)));
  }
  /** Rounds `(high, low)` — value `high / 2^63 * 2^(exponent - bias)`, not 0 — and returns it. */
  returnRounded(sign: Value, exponent: Value, high: Value, low: Value): void {
    const { b, format } = this;
    if (format.name === 'f80') {
      b.return(b.call('f80_pack', this.cpu, sign, exponent, high, low, this.control));
      return;
    }
    const sticky =
      low.kind === 'const' && low.value === 0n ? high : b.or(high, b.extendU(b.op('i64.ne', low, b.i64(0))));
    b.return(b.call(`${format.name}_pack`, this.cpu, sign, exponent, sticky, this.control));
  }
}

/** Returns from a unary routine where the operand is a NaN or not supported. */
export function handleNan(c: FloatContext, a: Parts): void {
  const { b } = c;
  if (c.extended) b.if(c.isUnsupported(a), () => c.returnInvalid());
  b.if(c.isNan(a), () => c.returnQuiet(a.sign, a.significand, c.isSignalling(a)));
}

/** Returns from a binary routine where an operand is a NaN or not supported (SDM vol. 1 table 4-7). */
export function handleNans(c: FloatContext, x: Parts, y: Parts): void {
  const { b } = c;
  if (c.extended) b.if(b.or(c.isUnsupported(x), c.isUnsupported(y)), () => c.returnInvalid());
  b.if(b.or(c.isMax(x), c.isMax(y)), () => {
    const xNan = c.isNan(x);
    b.if(b.or(xNan, c.isNan(y)), () => {
      const first = c.extended ? prefersFirst(c, x, y) : xNan;
      const invalid = b.or(c.isSignalling(x), c.isSignalling(y));
      c.returnQuiet(b.select(first, x.sign, y.sign), b.select(first, x.significand, y.significand), invalid);
    });
  });
}

/**
 * Whether x87 returns the first of two operands of which at least one is a NaN: the only NaN, else the only quiet one,
 * else the one with the larger significand, else the positive one.
 */
function prefersFirst(c: FloatContext, x: Parts, y: Parts): Value {
  const { b } = c;
  const xNan = c.isNan(x);
  const yNan = c.isNan(y);
  const xSignals = c.isSignalling(x);
  const equal = b.eq(x.significand, y.significand);
  const larger = b.select(equal, b.leU(x.sign, y.sign), b.gtU(x.significand, y.significand));
  const both = b.select(b.xor(xSignals, c.isSignalling(y)), b.eqz(xSignals), larger);
  return b.select(b.and(xNan, yNan), both, xNan);
}
