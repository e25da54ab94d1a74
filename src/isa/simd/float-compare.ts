/** CMPPS, CMPPD, CMPSS, CMPSD with their eight predicates; COMISS, COMISD, UCOMISS, UCOMISD. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { constantOf, immediateByte } from './common.ts';
import {
  bitsConstant,
  buildLanes,
  ELEMENTS,
  type Element,
  either,
  exactly,
  floatConstant,
  lane,
  mxcsr,
  replaceLane,
} from './float-element.ts';
import { type Form, judge, unwrap, wrapInto } from './float-fast.ts';
import { every, holds, inWindowOrZero } from './float-window.ts';

/**
 * Predicates EQ, LT, LE, UNORD and their opposites, a nibble each from predicate 0 at the bottom: bit n is set where
 * relation n (0 equal, 1 less, 2 greater, 3 unordered) satisfies it.
 */
const TRUTH = 0x7cde8321;

/** The predicates that signal quiet NaNs: LT, LE, NLT, NLE. */
function isSignalling(b: Builder, predicate: Value): Value {
  const kind = b.and(predicate, b.i32(3));
  return b.or(b.eq(kind, b.i32(1)), b.eq(kind, b.i32(2)));
}

/** `sse_f32_cmp (a, b, predicate)`: all ones or zero. */
function elementCompare(e: Element): Helper {
  return routine(`sse_${e.name}_cmp`, [e.int, e.int, 'i32'], e.int, (b, cpu, x, y, predicate) => {
    const code = b.call(`${e.name}_compare`, cpu, x, y, mxcsr(b, cpu), isSignalling(b, predicate));
    const place = b.add(b.shl(predicate, b.i32(2)), code);
    const holds = b.and(b.shrU(b.i32(TRUTH), place), b.i32(1));
    b.return(b.select(holds, bitsConstant(b, e, -1n), bitsConstant(b, e, 0n)));
  });
}

/** `sse_f32x4_cmp (a, b, predicate)`. */
function packedCompare(e: Element): Helper {
  return routine(`sse_${e.shape}_cmp`, ['v128', 'v128', 'i32'], 'v128', (b, cpu, x, y, predicate) => {
    const compare = (i: number) => b.call(`sse_${e.name}_cmp`, cpu, lane(b, e, x, i), lane(b, e, y, i), predicate);
    b.return(buildLanes(b, e, e.count, compare));
  });
}

/** The predicate on numbers, of an operation that tells one relation; `all` and `none` are its true and false. */
interface Relations {
  readonly equal: () => Value;
  readonly less: () => Value;
  readonly lessOrEqual: () => Value;
  readonly none: Value;
  readonly invert: (v: Value) => Value;
}

function known(predicate: number, r: Relations): Value {
  const base = [r.equal, r.less, r.lessOrEqual, () => r.none][predicate & 3] as () => Value;
  return predicate & 4 ? r.invert(base()) : base();
}

/** All lanes, for numbers. */
function packedNative(b: InstructionBuilder, e: Element, x: Value, y: Value, immediate: Operand): Value {
  const constant = constantOf(immediate.read());
  const op = (name: string) => b.op(`${e.shape}.${name}`, x, y);
  if (constant !== undefined) {
    return known(constant, {
      equal: () => op('eq'),
      less: () => op('lt'),
      lessOrEqual: () => op('le'),
      none: b.v128(0n, 0n),
      invert: (v) => b.op('v128.not', v),
    });
  }
  const predicate = immediateByte(b, immediate);
  const truth = (relation: number) => {
    const place = b.add(b.shl(b.and(predicate, b.i32(7)), b.i32(2)), b.i32(relation));
    return b.op('i32x4.splat', b.neg(b.and(b.shrU(b.i32(TRUTH), place), b.i32(1))));
  };
  // Greater is what is neither equal nor less.
  const less = b.op('v128.bitselect', truth(1), truth(2), op('lt'));
  return b.op('v128.bitselect', truth(0), less, op('eq'));
}

/** 1 (i32) where neither operand is a NaN or denormal; it misses infinities and the very large or small. */
const areOrdinary = (b: InstructionBuilder, form: Form, x: Value, y: Value): Value =>
  holds(b, judge(b, form, every(b, inWindowOrZero(b, form.e, x), inWindowOrZero(b, form.e, y))));

function comparePacked(b: InstructionBuilder, e: Element, dst: Operand, src: Operand, immediate: Operand): void {
  const y = src.readVector();
  const x = dst.readVector();
  const result = either(b, areOrdinary(b, { e, scalar: false }, x, y), packedNative(b, e, x, y, immediate), () =>
    exactly(b, `sse_${e.shape}_cmp`, x, y, b.and(immediateByte(b, immediate), b.i32(7))),
  );
  dst.writeVector(result);
}

/** The vectors' low lanes are compared as all lanes are; what is in the others does not come out. */
function compareScalar(b: InstructionBuilder, e: Element, dst: Operand, src: Operand, immediate: Operand): void {
  const y = src.readVector();
  const x = dst.readVector();
  const form = { e, scalar: true };
  const native = () => wrapInto(b, form, x, unwrap(b, form, packedNative(b, e, x, y, immediate)));
  const slow = () => {
    const predicate = b.and(immediateByte(b, immediate), b.i32(7));
    const bits = exactly(b, `sse_${e.name}_cmp`, lane(b, e, x, 0), lane(b, e, y, 0), predicate);
    return replaceLane(b, e, x, 0, bits);
  };
  dst.writeVector(b.choose(areOrdinary(b, form, x, y), native, slow));
}

/**
 * The flags are those of a native comparison. Where a routine had to tell the relation, for the sake of exceptions and of
 * denormals that are zeros, the first operand is replaced by one that stands in this relation to the second.
 */
function compareFlags(b: InstructionBuilder, e: Element, first: Operand, second: Operand, signal: boolean): void {
  const y = second.readVector();
  const x = first.readVector();
  const form = { e, scalar: true };
  const [p, q] = [unwrap(b, form, x), unwrap(b, form, y)];
  const standIn = () => {
    const bits = [x, y].map((v) => lane(b, e, v, 0));
    const relation = exactly(b, `${e.name}_compare`, ...bits, b.field('mxcsr'), b.i32(signal ? 1 : 0));
    const is = (code: number) => b.eq(relation, b.i32(code));
    const apart = b.select(is(1), floatConstant(b, e, -Infinity), floatConstant(b, e, Infinity));
    return b.select(is(0), q, b.select(is(3), floatConstant(b, e, Number.NaN), apart));
  };
  b.flagsOfComparison(
    b.choose(areOrdinary(b, form, x, y), () => p, standIn),
    q,
  );
}

function definitionsOf(e: Element): Definition[] {
  const flags = (name: string, opcode: string, signal: boolean): Definition => ({
    name: `${name}${e.scalarName}`,
    encodings: [`${e.packedPrefix} 0f ${opcode} /r V${e.size},W${e.size}`],
    unit: 'sse',
    feature: e.feature,
    writes: 'oszapc',
    semantics: (b, first, second) => compareFlags(b, e, first, second, signal),
  });
  return [
    {
      name: `cmp${e.packedName}`,
      encodings: [`${e.packedPrefix} 0f c2 /r Vdq,Wdq,Ib`],
      unit: 'sse',
      feature: e.feature,
      semantics: (b, dst, src, immediate) => comparePacked(b, e, dst, src, immediate),
    },
    {
      name: `cmp${e.scalarName}`,
      encodings: [`${e.scalarPrefix} 0f c2 /r V${e.size},W${e.size},Ib`],
      unit: 'sse',
      feature: e.feature,
      semantics: (b, dst, src, immediate) => compareScalar(b, e, dst, src, immediate),
    },
    flags('ucomi', '2e', false),
    flags('comi', '2f', true),
  ];
}

export const floatCompare: readonly Definition[] = ELEMENTS.flatMap(definitionsOf);

export const floatCompareRoutines: readonly Helper[] = ELEMENTS.flatMap((e) => [elementCompare(e), packedCompare(e)]);
