/** FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1. The functions themselves are the engine's. */
import type { Value } from '../../ir/node.ts';
import { define } from '../definition.ts';
import { EXCEPTION } from '../float/format.ts';
import { type Helper, helper } from '../helpers.ts';
import { simple, x87Definition } from './common.ts';
import { complete, x87Routine } from './routines.ts';
import { BEFORE_RESULT, DEFAULT_NAN, STATUS, type X87 } from './unit.ts';

/** What `x87_function` computes. */
export const TRANSCENDENTAL = {
  sine: 0,
  cosine: 1,
  tangent: 2,
  /** arctan(b / a), where a is ST(0) and b ST(1). */
  arctangent: 3,
  /** 2^a - 1 */
  power: 4,
  /** b * log2(a) */
  logarithm: 5,
  /** b * log2(a + 1) */
  logarithmPlusOne: 6,
} as const;

type Operation = keyof typeof TRANSCENDENTAL;

/**
 * `x87_function (operation, a, b)`: the significand, its sign and exponent in `fpResultExponent`, exceptions, C1 and C2
 * in `fpExceptions`. With C2 the argument is out of range and returned as it is.
 */
const engineFunction = helper('x87_function', ['i32', 'i64', 'i32', 'i64', 'i32'], 'i64');

function compute(u: X87, operation: Operation, x: Value, y: Value): Value {
  const { b } = u;
  const number = b.i32(TRANSCENDENTAL[operation]);
  const values = [u.significand(x), u.signExponent(x), u.significand(y), u.signExponent(y)] as const;
  return b.call('x87_function', u.cpu, number, ...values);
}

/** A function of ST(0). `conditions`: the codes it defines besides C1. */
const ofOne = (name: string, operation: Operation, conditions: number) =>
  x87Routine(name, [], undefined, (u) => {
    const top = u.physical(0);
    complete(u, u.used(top), 0, () => compute(u, operation, top, top), STATUS.c1 | conditions);
  });

/** A function of ST(0) and ST(1): replaces ST(1), pops. */
const ofTwo = (name: string, operation: Operation) =>
  x87Routine(name, [], undefined, (u) => {
    const [x, y] = [u.physical(0), u.physical(1)];
    const usable = u.b.and(u.used(x), u.used(y));
    complete(
      u,
      usable,
      1,
      () => compute(u, operation, x, y),
      STATUS.c1,
      () => u.pop(),
    );
  });

/** A function that replaces ST(0) and pushes another: 1 after the tangent, the cosine after the sine. */
const pushing = (name: string, operation: Operation, pushed: Operation | undefined) =>
  x87Routine(name, [], undefined, (u) => {
    const { b } = u;
    const top = u.physical(0);
    const next = u.physical(-1);
    const nan = () => [b.variable('i64', b.i64(DEFAULT_NAN.significand)), b.variable('i32', b.i32(0xffff))] as const;
    const [replaced, replacedExponent] = nan();
    const [second, secondExponent] = nan();
    b.if(
      u.used(top),
      () =>
        b.if(
          u.used(next),
          () => u.stackFault(EXCEPTION.c1),
          () => {
            if (pushed !== undefined) {
              b.set(second, compute(u, pushed, top, top));
              b.set(secondExponent, u.resultExponent);
              u.report(0);
            }
            b.set(replaced, compute(u, operation, top, top));
            b.set(replacedExponent, u.resultExponent);
            if (pushed === undefined) pushOne(u, second, secondExponent, b.get(replaced), b.get(replacedExponent));
          },
        ),
      () => u.stackFault(),
    );
    const outOfRange = b.and(u.field('fpExceptions'), b.i32(STATUS.c2));
    b.if(b.and(u.settle(BEFORE_RESULT, STATUS.c1 | STATUS.c2), b.eqz(outOfRange)), () => {
      u.write(top, b.get(replaced), b.get(replacedExponent));
      u.write(next, b.get(second), b.get(secondExponent));
      u.setField('fpTop', next);
    });
  });

type Local = ReturnType<X87['b']['variable']>;

/** FPTAN pushes 1, or the NaN that is its result. */
function pushOne(u: X87, significand: Local, signExponent: Local, result: Value, resultExponent: Value): void {
  const { b } = u;
  const nan = b.eq(b.and(resultExponent, b.i32(0x7fff)), b.i32(0x7fff));
  b.set(significand, b.select(nan, result, b.i64(1n << 63n)));
  b.set(signExponent, b.select(nan, resultExponent, b.i32(0x3fff)));
}

export const transcendental = define(
  [
    x87Definition('fsin', 'd9 fe', simple('x87_sine')),
    x87Definition('fcos', 'd9 ff', simple('x87_cosine')),
    x87Definition('fsincos', 'd9 fb', simple('x87_sine_cosine')),
    x87Definition('fptan', 'd9 f2', simple('x87_tangent')),
    x87Definition('fpatan', 'd9 f3', simple('x87_arctangent')),
    x87Definition('f2xm1', 'd9 f0', simple('x87_power')),
    x87Definition('fyl2x', 'd9 f1', simple('x87_logarithm')),
    x87Definition('fyl2xp1', 'd9 f9', simple('x87_logarithm_plus_one')),
    // Processors differ in the last bit of these.
  ].map((definition) => ({ ...definition, unrecorded: true })),
);

export const transcendentalHelpers: readonly Helper[] = [
  engineFunction,
  ofOne('x87_sine', 'sine', STATUS.c2),
  ofOne('x87_cosine', 'cosine', STATUS.c2),
  pushing('x87_sine_cosine', 'sine', 'cosine'),
  pushing('x87_tangent', 'tangent', undefined),
  ofTwo('x87_arctangent', 'arctangent'),
  ofOne('x87_power', 'power', 0),
  ofTwo('x87_logarithm', 'logarithm'),
  ofTwo('x87_logarithm_plus_one', 'logarithmPlusOne'),
];
