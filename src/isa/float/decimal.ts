/**
 * Packed decimal integers (SDM vol. 1 4.7): `f80_to_bcd (significand, signExponent, fcw)` returns the low 16 digits and
 * puts sign and upper digits into `fpResultExponent`; `bcd_to_f80 (low, high)`.
 */
import type { Value, Variable } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { VCPU } from '../state.ts';
import { EXCEPTION, F80, FloatContext } from './format.ts';
import { toIntegral } from './integral.ts';

const LARGEST = 10n ** 18n - 1n;

const toDecimal = routine('f80_to_bcd', ['i64', 'i32', 'i32'], 'i64', (b, cpu, significand, signExponent, fcw) => {
  const c = new FloatContext(b, cpu, F80, fcw);
  const p = c.parts([significand, signExponent]);
  const give = (low: Value, high: Value) => {
    b.storeHost('i32.store', cpu, high, VCPU.offsets.fpResultExponent);
    b.return(low);
  };
  const invalid = () => {
    c.raise(EXCEPTION.invalid);
    give(b.i64(0xc000n << 48n), b.i32(0xffff));
  };
  b.if(b.or(c.isMax(p), c.isUnsupported(p)), invalid);
  const x = c.unpack(p);
  const unbiased = b.sub(b.get(x.exponent), b.i32(F80.bias));
  b.if(b.gtS(unbiased, b.i32(63)), invalid);
  const r = toIntegral(c, p.sign, unbiased, b.get(x.significand), c.rounding());
  b.if(b.or(r.carry, b.gtU(r.magnitude, b.i64(LARGEST))), invalid);
  b.if(r.inexact, () => c.raise(b.or(b.i32(EXCEPTION.inexact), b.shl(r.up, b.i32(9)))));
  const rest = b.variable('i64', r.magnitude);
  const digits = (count: number): Variable => {
    const result = b.variable('i64', b.i64(0));
    const shift = b.variable('i64', b.i64(0));
    b.loop((again) => {
      const tenth = b.op('i64.div_u', b.get(rest), b.i64(10));
      const digit = b.sub(b.get(rest), b.mul(tenth, b.i64(10)));
      b.set(result, b.or(b.get(result), b.shl(digit, b.get(shift))));
      b.set(rest, tenth);
      b.set(shift, b.add(b.get(shift), b.i64(4)));
      b.branchIf(again, b.ltU(b.get(shift), b.i64(4 * count)));
    });
    return result;
  };
  const low = digits(16);
  const high = digits(2);
  give(b.get(low), b.or(b.wrap(b.get(high)), b.shl(p.sign, b.i32(15))));
});

const fromDecimal = routine('bcd_to_f80', ['i64', 'i32'], 'i64', (b, cpu, low, high) => {
  const c = new FloatContext(b, cpu, F80, b.i32(0));
  const digit = (value: Value) => b.and(value, b.i64(15));
  const upper = b.extendU(high);
  const first = b.add(b.mul(digit(b.shrU(upper, b.i64(4))), b.i64(10)), digit(upper));
  const value = b.variable('i64', first);
  const shift = b.variable('i64', b.i64(60));
  b.loop((again) => {
    const next = digit(b.shrU(low, b.get(shift)));
    b.set(value, b.add(b.mul(b.get(value), b.i64(10)), next));
    b.set(shift, b.sub(b.get(shift), b.i64(4)));
    b.branchIf(again, b.geS(b.get(shift), b.i64(0)));
  });
  const sign = b.and(b.shrU(high, b.i32(15)), b.i32(1));
  const magnitude = b.get(value);
  b.if(b.eqz(magnitude), () => c.returnZero(sign));
  const places = b.clz(magnitude);
  c.returnParts(sign, b.sub(b.i32(F80.bias + 63), b.wrap(places)), b.shl(magnitude, places));
});

export const decimalRoutines: readonly Helper[] = [toDecimal, fromDecimal];
