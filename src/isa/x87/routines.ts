/** Routines behind the x87 instructions: they compute on the register stack and settle exceptions. */
import type { Value } from '../../ir/node.ts';
import type { Type } from '../../ir/types.ts';
import { DEFINED_SHIFT, EXCEPTION } from '../float/format.ts';
import { type Helper, routine } from '../helpers.ts';
import { BEFORE_RESULT, DEFAULT_NAN, STATUS, X87 } from './unit.ts';

/** A routine whose body works on the unit. */
export function x87Routine(
  name: string,
  params: readonly Type[],
  result: Type | undefined,
  body: (unit: X87, ...args: Value[]) => void,
): Helper {
  return routine(name, params, result, (b, cpu, ...args) => body(new X87(b, cpu), ...args));
}

/** See `X87.settle`. */
const settle = x87Routine('x87_settle', ['i32', 'i32'], 'i32', (u, blocking, conditions) => {
  const { b } = u;
  const reported = u.field('fpExceptions');
  const unmasked = b.and(b.and(reported, b.not(u.control)), b.i32(0x3f));
  const flags = b.variable('i32', reported);
  const stack = b.and(reported, b.i32(STATUS.stackFault));
  const c1 = b.select(stack, b.i32(STATUS.c1), b.i32(0));
  const defined = b.shrU(reported, b.i32(DEFINED_SHIFT));
  const changed = b.variable('i32', b.or(b.or(conditions, c1), defined));
  b.if(b.and(unmasked, b.i32(BEFORE_RESULT)), () => {
    // Nothing was computed: only what was found in the operands counts. C1 tells overflow from underflow of the stack.
    b.set(flags, b.and(reported, b.or(b.i32(BEFORE_RESULT | STATUS.stackFault), c1)));
    b.set(changed, b.or(conditions, c1));
  });
  const kept = b.and(b.and(unmasked, blocking), b.i32(EXCEPTION.overflow | EXCEPTION.underflow));
  b.if(kept, () => b.set(flags, b.and(b.get(flags), b.i32(~(EXCEPTION.inexact | STATUS.c1)))));
  const old = b.and(u.field('fsw'), b.not(b.get(changed)));
  const summary = b.select(unmasked, b.i32(STATUS.summary | STATUS.busy), b.i32(0));
  u.setField('fsw', b.or(b.or(old, b.and(b.get(flags), b.i32(0xffff))), summary));
  b.return(b.eqz(b.and(unmasked, blocking)));
});

/** `x87_push (significand, signExponent)`: pushes a value, after what its conversion reported. */
const push = x87Routine('x87_push', ['i64', 'i32'], undefined, (u, significand, signExponent) => {
  const { b } = u;
  const s = b.variable('i64', significand);
  const e = b.variable('i32', signExponent);
  const place = u.physical(-1);
  b.if(u.used(place), () => {
    u.stackFault(EXCEPTION.c1);
    b.set(s, b.i64(DEFAULT_NAN.significand));
    b.set(e, b.i32(DEFAULT_NAN.signExponent));
  });
  // A denormal is loaded even where its exception is not masked.
  b.if(u.settle(EXCEPTION.invalid), () => {
    u.setField('fpTop', place);
    u.write(place, b.get(s), b.get(e));
  });
});

/**
 * Writes what `compute` returns to ST(`index`), or the default NaN after a stack underflow where not `usable`. `after`
 * runs where a result was written.
 */
export function complete(
  u: X87,
  usable: Value,
  index: number | Value,
  compute: () => Value,
  conditions: number = STATUS.c1,
  after?: () => void,
): void {
  const { b } = u;
  const significand = b.variable('i64', b.i64(DEFAULT_NAN.significand));
  const signExponent = b.variable('i32', b.i32(DEFAULT_NAN.signExponent));
  b.if(
    usable,
    () => {
      b.set(significand, compute());
      b.set(signExponent, u.resultExponent);
    },
    () => u.stackFault(),
  );
  b.if(u.settle(BEFORE_RESULT, conditions), () => {
    u.write(u.physical(index), b.get(significand), b.get(signExponent));
    after?.();
  });
}

/** `x87_<name> (a, b, usable, index, pops)`: arithmetic on two values, the result to ST(`index`). */
const binary = (name: string) =>
  x87Routine(`x87_${name}`, ['i64', 'i32', 'i64', 'i32', 'i32', 'i32', 'i32'], undefined, (u, ...args) => {
    const { b } = u;
    const [as, ae, bs, be, usable, index, pops] = args as [Value, Value, Value, Value, Value, Value, Value];
    complete(
      u,
      usable,
      index,
      () => b.call(`f80_${name}`, u.cpu, as, ae, bs, be, u.control),
      STATUS.c1,
      () => b.if(pops, () => u.pop()),
    );
  });

/** Arithmetic on ST(0) alone. */
const unary = (name: string, compute: (u: X87, significand: Value, signExponent: Value) => Value) =>
  x87Routine(name, [], undefined, (u) => {
    const top = u.physical(0);
    complete(u, u.used(top), 0, () => compute(u, u.significand(top), u.signExponent(top)));
  });

/** ST(0) op ST(1) to ST(0). */
const withNext = (
  name: string,
  conditions: number,
  compute: (u: X87, as: Value, ae: Value, bs: Value, be: Value) => Value,
) =>
  x87Routine(name, [], undefined, (u) => {
    const { b } = u;
    const [x, y] = [u.physical(0), u.physical(1)];
    const usable = b.and(u.used(x), u.used(y));
    const values = () => [u.significand(x), u.signExponent(x), u.significand(y), u.signExponent(y)] as const;
    complete(u, usable, 0, () => compute(u, ...values()), conditions);
  });

/** FXTRACT: the exponent replaces ST(0), the significand is pushed. */
const extract = x87Routine('x87_extract', [], undefined, (u) => {
  const { b } = u;
  const top = u.physical(0);
  const next = u.physical(-1);
  const [s, e] = [u.significand(top), u.signExponent(top)];
  const parts = [0, 1].map(() => ({
    significand: b.variable('i64', b.i64(DEFAULT_NAN.significand)),
    signExponent: b.variable('i32', b.i32(DEFAULT_NAN.signExponent)),
  }));
  const [exponent, fraction] = parts as [(typeof parts)[0], (typeof parts)[0]];
  b.if(
    u.used(top),
    () => {
      b.if(
        u.used(next),
        () => u.stackFault(EXCEPTION.c1),
        () => {
          b.set(exponent.significand, b.call('f80_extract_exponent', u.cpu, s, e));
          b.set(exponent.signExponent, u.resultExponent);
          b.set(fraction.significand, b.call('f80_extract', u.cpu, s, e));
          b.set(fraction.signExponent, u.resultExponent);
        },
      );
    },
    () => u.stackFault(),
  );
  b.if(u.settle(BEFORE_RESULT), () => {
    u.write(top, b.get(exponent.significand), b.get(exponent.signExponent));
    u.write(next, b.get(fraction.significand), b.get(fraction.signExponent));
    u.setField('fpTop', next);
  });
});

export const x87Routines: readonly Helper[] = [
  settle,
  push,
  ...['add', 'sub', 'mul', 'div'].map(binary),
  unary('x87_sqrt', (u, s, e) => u.b.call('f80_sqrt', u.cpu, s, e, u.control)),
  unary('x87_round', (u, s, e) => u.b.call('f80_round_int', u.cpu, s, e, u.control)),
  unary('x87_change_sign', (u, s, e) => {
    u.setField('fpResultExponent', u.b.xor(e, u.b.i32(0x8000)));
    return s;
  }),
  unary('x87_absolute', (u, s, e) => {
    u.setField('fpResultExponent', u.b.and(e, u.b.i32(0x7fff)));
    return s;
  }),
  withNext('x87_scale', STATUS.c1, (u, ...args) => u.b.call('f80_scale', u.cpu, ...args, u.control)),
  ...[0, 1].map((nearest) =>
    withNext(nearest ? 'x87_remainder_nearest' : 'x87_remainder', STATUS.c1 | STATUS.c2, (u, ...args) =>
      u.b.call('f80_rem', u.cpu, ...args, u.b.i32(nearest), u.control),
    ),
  ),
  extract,
];
