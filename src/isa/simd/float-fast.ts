/**
 * Arithmetic in three steps: the native result where the operands are in the window and rounding does not matter, for one
 * test; the native result where operands may also be zero, or where PE is clear but the result turns out exact; a routine.
 *
 * Of scalars the low lanes count. They are taken out and put back for the operation itself: the upper lanes of a register
 * may hold anything, and denormal numbers slow a processor down.
 */
import type { Value } from '../../ir/node.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { splat } from './common.ts';
import { type Element, floatConstant, MXCSR, toBits, toFloat } from './float-element.ts';
import type { Operation } from './float-routines.ts';
import { asVerdict, every, hold, inResultWindow, inWindow, inWindowOrZero, isZero, verdict } from './float-window.ts';

/** Lanes that an operation works on: the low one or all. */
export interface Form {
  readonly e: Element;
  readonly scalar: boolean;
}

const countOf = ({ e, scalar }: Form): number => (scalar ? 1 : e.count);

/** What arithmetic on the lanes of a form takes: a float, or a vector. */
export function unwrap(b: InstructionBuilder, { e, scalar }: Form, v: Value): Value {
  return scalar ? b.lane(`${e.shape}.extract_lane`, 0, v) : v;
}
/** Puts a result where the lanes of a form are in `old`. */
export function wrapInto(b: InstructionBuilder, { e, scalar }: Form, old: Value, result: Value): Value {
  return scalar ? b.lane(`${e.shape}.replace_lane`, 0, old, result) : result;
}
const arithmetic = (b: InstructionBuilder, { e, scalar }: Form, name: string, ...args: Value[]): Value =>
  b.op(`${scalar ? e.name : e.shape}.${name}`, ...args);

/** Verdict on all lanes of a form, as bit 62 of an i64. */
export const judge = (b: InstructionBuilder, form: Form, v: Value): Value => verdict(b, form.e, v, countOf(form));

/**
 * Verdict: the rounded sum or difference `r` of two numbers is exact. The error of an addition is representable where
 * nothing overflows, and Knuth's sequence finds it.
 */
function exactSum(b: InstructionBuilder, form: Form, subtract: boolean, x: Value, y: Value, r: Value): Value {
  const op = (name: string, p: Value, q: Value) => arithmetic(b, form, name, p, q);
  const part = op('sub', r, x);
  const left = op('sub', x, op('sub', r, part));
  const error = subtract ? op('sub', left, op('add', y, part)) : op('add', left, op('sub', y, part));
  if (!form.scalar) return judge(b, form, isZero(b, form.e, error));
  return asVerdict(b, b.op(`${form.e.name}.eq`, error, floatConstant(b, form.e, 0)));
}

/**
 * Verdicts: a product of two numbers is exact, which it is where both leave half of their significand's bits, rounded
 * up, zero at the end, or where it is zero and no operand is tiny. That misses some exact products, which the routine finds.
 */
function exactProduct(b: InstructionBuilder, e: Element, x: Value, y: Value, r: Value): Value {
  const free = BigInt(e.fractionBits + 2) / 2n;
  const low = splat(b, e.name === 'f32' ? 32 : 64, (1n << free) - 1n);
  const used = b.op('v128.and', b.op('v128.or', x, y), low);
  return b.op('v128.or', b.op(`${e.intShape}.eq`, used, b.v128(0n, 0n)), isZero(b, e, r));
}

/** Verdict: a native result is exact and rounding is to nearest, which matters for the sign of zero. */
function exactly(b: InstructionBuilder, found: Value): Value {
  const nearest = b.eqz(b.and(b.field('mxcsr'), b.i32(MXCSR.rounding)));
  return b.and(found, asVerdict(b, nearest));
}

/** The result of a routine that takes and gives vectors or, of scalars, bits. */
function routineResult(b: InstructionBuilder, form: Form, name: string, args: readonly Value[], old: Value): Value {
  const { e, scalar } = form;
  const given = scalar ? args.map((v) => toBits(b, e, unwrap(b, form, v))) : args;
  const result = b.helper(`sse_${scalar ? e.name : e.shape}_${name}_raising`, ...given);
  b.mxcsrChanged();
  return wrapInto(b, form, old, scalar ? toFloat(b, e, result) : result);
}

/** `x + y` or `x - y`. `name` is that of the routine, which gets `args`. */
export function sum(
  b: InstructionBuilder,
  form: Form,
  x: Value,
  y: Value,
  how: { readonly subtract: boolean; readonly name: string; readonly args: readonly Value[] },
): Value {
  const { e } = form;
  const [p, q] = [unwrap(b, form, x), unwrap(b, form, y)];
  const r = arithmetic(b, form, how.subtract ? 'sub' : 'add', p, q);
  const result = wrapInto(b, form, x, r);
  const fine = judge(b, form, every(b, inWindow(b, e, x), inWindow(b, e, y)));
  return b.choose(
    hold(b, fine, b.floatReady()),
    () => result,
    () => {
      const usable = judge(b, form, every(b, inWindowOrZero(b, e, x), inWindowOrZero(b, e, y)));
      const silent = b.or(b.floatReady(), exactly(b, exactSum(b, form, how.subtract, p, q, r)));
      return b.choose(
        hold(b, usable, silent),
        () => result,
        () => routineResult(b, form, how.name, how.args, x),
      );
    },
  );
}

/** `x * y`. Of numbers in the window it cannot be zero, only too large: the second step looks at all three. */
export function product(b: InstructionBuilder, form: Form, x: Value, y: Value): Value {
  const { e } = form;
  const result = wrapInto(b, form, x, arithmetic(b, form, 'mul', unwrap(b, form, x), unwrap(b, form, y)));
  const fine = judge(b, form, every(b, inWindow(b, e, x), inResultWindow(b, e, result)));
  return b.choose(
    hold(b, fine, b.floatReady()),
    () => result,
    () => {
      const numbers = [x, y, result].map((v) => inWindowOrZero(b, e, v)) as [Value, Value, Value];
      const exact = judge(b, form, exactProduct(b, e, x, y, result));
      const silent = b.or(b.floatReady(), exactly(b, exact));
      return b.choose(
        hold(b, judge(b, form, every(b, ...numbers)), silent),
        () => result,
        () => routineResult(b, form, 'mul', [x, y], x),
      );
    },
  );
}

export function quotient(b: InstructionBuilder, form: Form, x: Value, y: Value): Value {
  const { e } = form;
  const result = wrapInto(b, form, x, arithmetic(b, form, 'div', unwrap(b, form, x), unwrap(b, form, y)));
  const fine = judge(b, form, every(b, inWindow(b, e, y), inResultWindow(b, e, result)));
  return b.choose(
    hold(b, fine, b.floatReady()),
    () => result,
    () => routineResult(b, form, 'div', [x, y], x),
  );
}

/** Of `y`; lanes that are not worked on come from `x`. */
export function squareRoot(b: InstructionBuilder, form: Form, x: Value, y: Value): Value {
  const result = wrapInto(b, form, x, arithmetic(b, form, 'sqrt', unwrap(b, form, y)));
  const fine = judge(b, form, inWindow(b, form.e, result));
  const args = form.scalar ? [y] : [y, y];
  return b.choose(
    hold(b, fine, b.floatReady()),
    () => result,
    () => routineResult(b, form, 'sqrt', args, x),
  );
}

/** The operations of two operands. */
export const BINARY: Record<
  Exclude<Operation, 'sqrt'>,
  (b: InstructionBuilder, form: Form, x: Value, y: Value) => Value
> = {
  add: (b, form, x, y) => sum(b, form, x, y, { subtract: false, name: 'add', args: [x, y] }),
  sub: (b, form, x, y) => sum(b, form, x, y, { subtract: true, name: 'sub', args: [x, y] }),
  mul: product,
  div: quotient,
};
