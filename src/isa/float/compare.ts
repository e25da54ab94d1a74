/**
 * `f32_` and `f64_compare (a, b, mxcsr, signalQuiet)`, `f80_compare (a, b, signalQuiet)`: 0 equal, 1 less, 2 greater,
 * 3 unordered, invalid for a signalling NaN or, with `signalQuiet`, any. `f32_` and `f64_` `min`, `max (a, b, mxcsr)`
 * return the second operand where one is a NaN or both are zeros (SDM vol. 2, MINSS).
 */
import type { Value } from '../../ir/node.ts';
import { type Helper, routine } from '../helpers.ts';
import { EXCEPTION, F32, F64, F80, FloatContext, type Format, type Parts } from './format.ts';

/** The relation of two numbers that are no NaNs, as i32: 0 equal, 1 less, 2 greater. */
function relation(c: FloatContext, p: Parts, q: Parts): Value {
  const { b } = c;
  const x = c.unpack(p);
  const y = c.unpack(q);
  c.raiseDenormal();
  const [xe, ye] = [b.get(x.exponent), b.get(y.exponent)];
  const [xs, ys] = [b.get(x.significand), b.get(y.significand)];
  // A denormal has an exponent below 1 once normalised; zero must be below all of them.
  const xZero = b.eqz(xs);
  const yZero = b.eqz(ys);
  const smaller = b.or(b.ltS(xe, ye), b.and(b.eq(xe, ye), b.ltU(xs, ys)));
  const below = b.select(xZero, b.eqz(yZero), b.select(yZero, b.i32(0), smaller));
  const same = b.and(b.eq(xs, ys), b.or(xZero, b.eq(xe, ye)));
  const magnitude = b.select(same, b.i32(0), b.select(below, b.i32(1), b.i32(2)));
  const flipped = b.select(b.and(x.sign, b.op('i32.ne', magnitude, b.i32(0))), b.xor(magnitude, b.i32(3)), magnitude);
  const bySign = b.select(b.and(xZero, yZero), b.i32(0), b.select(x.sign, b.i32(1), b.i32(2)));
  return b.select(b.xor(x.sign, y.sign), bySign, flipped);
}

function compare(c: FloatContext, x: Parts, y: Parts, signalQuiet: Value): void {
  const { b } = c;
  b.if(b.or(c.isUnsupported(x), c.isUnsupported(y)), () => {
    c.dropDenormal();
    c.raise(EXCEPTION.invalid);
    b.return(b.i32(3));
  });
  b.if(b.or(c.isNan(x), c.isNan(y)), () => {
    c.dropDenormal();
    const signals = b.or(c.isSignalling(x), c.isSignalling(y));
    c.raise(b.or(signals, signalQuiet));
    b.return(b.i32(3));
  });
  b.return(relation(c, x, y));
}

function compareRoutine(format: Format): Helper {
  const { types } = format;
  const count = types.length;
  const control: readonly 'i32'[] = format.name === 'f80' ? [] : ['i32'];
  return routine(`${format.name}_compare`, [...types, ...types, ...control, 'i32'], 'i32', (b, cpu, ...args) => {
    const mxcsr = format.name === 'f80' ? b.i32(0) : (args[2 * count] as Value);
    const c = new FloatContext(b, cpu as Value, format, mxcsr);
    compare(c, c.parts(args.slice(0, count)), c.parts(args.slice(count, 2 * count)), args[args.length - 1] as Value);
  });
}

/** `wanted`: the relation that makes the first operand the result. */
function selection(format: Format, name: string, wanted: number): Helper {
  const { types, result } = format;
  return routine(`${format.name}_${name}`, [...types, ...types, 'i32'], result, (b, cpu, first, second, mxcsr) => {
    const c = new FloatContext(b, cpu, format, mxcsr);
    const x = c.parts([first]);
    const y = c.parts([second]);
    const give = (takeFirst: Value) => {
      const exponent = b.select(takeFirst, x.exponent, y.exponent);
      const flushed = b.and(b.eqz(exponent), b.op('i32.ne', c.bit(1 << 6), b.i32(0)));
      b.if(flushed, () => c.returnZero(b.select(takeFirst, x.sign, y.sign)));
      b.return(b.select(takeFirst, first, second));
    };
    b.if(b.or(c.isNan(x), c.isNan(y)), () => {
      c.raise(EXCEPTION.invalid);
      give(b.i32(0));
    });
    give(b.eq(relation(c, x, y), b.i32(wanted)));
  });
}

export const compareRoutines: readonly Helper[] = [
  ...[F32, F64, F80].map(compareRoutine),
  ...[F32, F64].flatMap((format) => [selection(format, 'min', 1), selection(format, 'max', 2)]),
];
