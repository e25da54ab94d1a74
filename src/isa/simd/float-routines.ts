/**
 * The slow path of SSE arithmetic, one routine for each operation and element type, and one for each packed form.
 *
 * - `sse_f32_add (a, b)`, likewise `sub`, `mul`, `div`; `sse_f32_sqrt (a)`; the same for `f64`
 * - `sse_f32x4_add (a, b)` …, `min`, `max`, `addsub`; `sse_f64x2_add` …
 *
 * They collect exceptions in `fpExceptions`; each has a form `…_raising` that an instruction can call as its only one.
 *
 * They are slow only where they must be: a native result that turns out exact, which is what programs that compute with
 * whole numbers mostly have while PE is clear, is taken.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { VCPU } from '../state.ts';
import {
  bitsConstant,
  buildLanes,
  ELEMENTS,
  type Element,
  floatConstant,
  inexactIsSilent,
  isDenormal,
  isPlain,
  lane,
  MXCSR,
  mxcsr,
  toBits,
  toFloat,
} from './float-element.ts';

/** Operations whose native result may be taken. */
export type Operation = 'add' | 'sub' | 'mul' | 'div' | 'sqrt';

/** 1 where the rounded sum `r` of `x` and `y` is their sum: the error of an addition is itself representable. */
function exactSum(b: Builder, e: Element, x: Value, y: Value, r: Value): Value {
  const sub = (p: Value, q: Value) => b.op(`${e.name}.sub`, p, q);
  const yPart = sub(r, x);
  const error = b.op(`${e.name}.add`, sub(x, sub(r, yPart)), sub(y, yPart));
  return b.op(`${e.name}.eq`, error, floatConstant(b, e, 0));
}

/** Zero bits at the end of a normal number's significand, as i64. */
function trailingZeros(b: Builder, float: Value): Value {
  return b.ctz(b.or(b.op('i64.reinterpret_f64', float), b.i64(1n << 52n)));
}

/** 1 where the product of two normal f64 needs no rounding: a sufficient condition that misses almost nothing. */
function exactProduct(b: Builder, x: Value, y: Value): Value {
  const [p, q] = [trailingZeros(b, x), trailingZeros(b, y)];
  const powerOfTwo = b.or(b.eq(p, b.i64(52)), b.eq(q, b.i64(52)));
  return b.or(powerOfTwo, b.geU(b.add(p, q), b.i64(53)));
}

/** 1 where `x * y` is `product` exactly. Singles are multiplied as doubles, which hold every product. */
function isProduct(b: Builder, e: Element, x: Value, y: Value, product: Value): Value {
  if (e.name === 'f64') return b.and(exactProduct(b, x, y), b.op('f64.eq', b.op('f64.mul', x, y), product));
  const wide = (v: Value) => b.op('f64.promote_f32', v);
  return b.op('f64.eq', b.op('f64.mul', wide(x), wide(y)), wide(product));
}

/** 1 where the native result `r`, normal and not the smallest such, is exact. */
function isExact(b: Builder, e: Element, operation: Operation, x: Value, y: Value, r: Value): Value {
  switch (operation) {
    case 'add':
      return exactSum(b, e, x, y, r);
    case 'sub':
      return exactSum(b, e, x, b.op(`${e.name}.neg`, y), r);
    case 'mul':
      return isProduct(b, e, x, y, r);
    case 'div':
      return isProduct(b, e, r, y, x);
    case 'sqrt':
      return isProduct(b, e, r, r, y);
  }
}

/** 1 where a native result of zero is exact. */
function isExactZero(b: Builder, e: Element, operation: Operation, x: Value, y: Value): Value {
  const isZero = (v: Value) => b.op(`${e.name}.eq`, v, floatConstant(b, e, 0));
  switch (operation) {
    case 'add':
    case 'sub':
      return b.i32(1);
    case 'mul':
      return b.or(isZero(x), isZero(y));
    case 'div':
      return isZero(x);
    case 'sqrt':
      return isZero(y);
  }
}

function element(e: Element, operation: Operation): Helper {
  const single = operation === 'sqrt';
  const params = single ? [e.int] : [e.int, e.int];
  return routine(`sse_${e.name}_${operation}`, params, e.int, (b, cpu, ...args) => {
    const control = mxcsr(b, cpu);
    const bits = args as [Value, Value?];
    const [x, y] = [toFloat(b, e, bits[0]), toFloat(b, e, bits[1] ?? bits[0])];
    const denormal = args.map((a) => isDenormal(b, e, a)).reduce((p, q) => b.or(p, q));
    const unusable = b.or(b.and(control, b.i32(MXCSR.rounding)), denormal);
    b.if(b.eqz(unusable), () => {
      const r = b.op(`${e.name}.${operation}`, ...(single ? [y] : [x, y]));
      const result = toBits(b, e, r);
      b.if(isPlain(b, e, result), () => {
        b.if(b.or(inexactIsSilent(b, control), isExact(b, e, operation, x, y, r)), () => b.return(result));
      });
      const zero = b.eqz(b.shl(result, bitsConstant(b, e, 1n)));
      b.if(b.and(zero, isExactZero(b, e, operation, x, y)), () => b.return(result));
    });
    b.return(b.call(`${e.name}_${operation}`, cpu, ...args, control));
  });
}

/** Element by element: `callee(index)` names the routine for a lane. */
function packed(
  e: Element,
  name: string,
  call: (b: Builder, cpu: Value, i: number, x: Value, y: Value) => Value,
): Helper {
  return routine(`sse_${e.shape}_${name}`, ['v128', 'v128'], 'v128', (b, cpu, x, y) => {
    b.return(buildLanes(b, e, e.count, (i) => call(b, cpu, i, lane(b, e, x, i), lane(b, e, y, i))));
  });
}

function routinesOf(e: Element): Helper[] {
  const binary = ['add', 'sub', 'mul', 'div'] as const;
  const callee = (name: string) => `sse_${e.name}_${name}`;
  return [
    ...binary.map((name) => element(e, name)),
    element(e, 'sqrt'),
    ...binary.map((name) => packed(e, name, (b, cpu, _i, x, y) => b.call(callee(name), cpu, x, y))),
    packed(e, 'sqrt', (b, cpu, _i, _x, y) => b.call(callee('sqrt'), cpu, y)),
    packed(e, 'addsub', (b, cpu, i, x, y) => b.call(callee(i & 1 ? 'add' : 'sub'), cpu, x, y)),
    ...(['min', 'max'] as const).map((name) =>
      packed(e, name, (b, cpu, _i, x, y) => b.call(`${e.name}_${name}`, cpu, x, y, mxcsr(b, cpu))),
    ),
  ];
}

/** `<name>_raising`: what a routine collects becomes MXCSR's flags or an exception. */
function raising({ name, signature }: Helper): Helper {
  const [, ...params] = signature.params;
  const body = (b: Builder, cpu: Value, ...args: Value[]): void => {
    b.storeHost('i32.store', cpu, b.i32(0), VCPU.offsets.fpExceptions);
    const result = b.call(name, cpu, ...args);
    b.call('sse_finish', cpu);
    b.return(result);
  };
  return routine(`${name}_raising`, params, signature.result, body, true);
}

const collecting: readonly Helper[] = ELEMENTS.flatMap(routinesOf);

export const floatRoutines: readonly Helper[] = [...collecting, ...collecting.map(raising)];
