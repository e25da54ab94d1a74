/** Comparisons, which set the condition codes or EFLAGS. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define, type Semantics } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS } from '../state.ts';
import { widen } from './arithmetic.ts';
import { begin, physical, recordPointers, used, x87Definition } from './common.ts';
import { x87Routine } from './routines.ts';
import { BEFORE_RESULT, STATUS, type X87 } from './unit.ts';

/** Compares ST(0), which is `usable`, with a value; the result as `f80_compare`, settled. */
function relation(u: X87, significand: Value, signExponent: Value, usable: Value, signalQuiet: Value): Value {
  const { b } = u;
  const top = u.physical(0);
  const result = b.variable('i32', b.i32(3));
  b.if(
    usable,
    () => {
      const [s, e] = [u.significand(top), u.signExponent(top)];
      b.set(result, b.call('f80_compare', u.cpu, s, e, significand, signExponent, signalQuiet));
    },
    () => u.stackFault(),
  );
  return b.get(result);
}

/** `table[relation]` for the relations 0 equal, 1 less, 2 greater, 3 unordered. */
function byRelation(u: X87, relationValue: Value, table: readonly [number, number, number, number]): Value {
  const { b } = u;
  const [equal, less, greater, unordered] = table;
  const one = b.and(relationValue, b.i32(1));
  const low = b.select(one, b.i32(less), b.i32(equal));
  const high = b.select(one, b.i32(unordered), b.i32(greater));
  return b.select(b.and(relationValue, b.i32(2)), high, low);
}

const PARAMS = ['i64', 'i32', 'i32', 'i32', 'i32'] as const;

/** `x87_compare (significand, signExponent, usable, signalQuiet, pops)`: to C3, C2, C0. */
const compareCodes = x87Routine('x87_compare', PARAMS, undefined, (u, s, e, usable, quiet, ...rest) => {
  const { b } = u;
  const pops = rest[0] as Value;
  const { c0, c2, c3 } = STATUS;
  const result = relation(u, s, e, usable, quiet);
  const codes = byRelation(u, result, [c3, c0, 0, c3 | c2 | c0]);
  const allowed = u.settle(BEFORE_RESULT, STATUS.conditions | STATUS.c1);
  u.setField('fsw', b.or(u.field('fsw'), codes));
  b.if(allowed, () => {
    const count = b.variable('i32', pops);
    b.if(b.get(count), () => {
      u.pop();
      b.if(b.eq(b.get(count), b.i32(2)), () => u.pop());
    });
  });
});

/** As `x87_compare`, but returns ZF, PF and CF at their places in EFLAGS and leaves the condition codes alone. */
const compareFlags = x87Routine('x87_compare_flags', PARAMS, 'i32', (u, s, e, usable, quiet, ...rest) => {
  const { b } = u;
  const result = relation(u, s, e, usable, quiet);
  const { zf, pf, cf } = EFLAGS;
  const codes = byRelation(u, result, [zf, cf, 0, zf | pf | cf]);
  b.if(b.and(u.settle(BEFORE_RESULT, 0), rest[0] as Value), () => u.pop());
  b.return(codes);
});

interface Other {
  readonly significand: Value;
  readonly signExponent: Value;
  readonly usable: Value;
}

function registerOperand(b: InstructionBuilder, index: Value): Other {
  const number = physical(b, index);
  const usable = b.and(used(b, number), used(b, physical(b, 0)));
  return { significand: b.significand(number), signExponent: b.signExponent(number), usable };
}

const withRegister =
  (signalQuiet: number, pops: number): Semantics =>
  (b, operand) => {
    begin(b);
    recordPointers(b);
    // FCOMPP and FUCOMPP compare with ST(1).
    const other = registerOperand(b, operand === undefined ? b.i32(1) : operand.index());
    const { significand, signExponent, usable } = other;
    b.perform('x87_compare', significand, signExponent, usable, b.i32(signalQuiet), b.i32(pops));
  };

const withMemory =
  (integer: boolean, pops: number): Semantics =>
  (b, memory) => {
    begin(b);
    const { significand, signExponent } = widen(b, memory, integer);
    recordPointers(b, memory);
    const usable = used(b, physical(b, 0));
    b.perform('x87_compare', significand, signExponent, usable, b.i32(1), b.i32(pops));
  };

const withZero: Semantics = (b) => {
  begin(b);
  recordPointers(b);
  b.perform('x87_compare', b.i64(0), b.i32(0), used(b, physical(b, 0)), b.i32(1), b.i32(0));
};

const toFlags =
  (signalQuiet: number, pops: number): Semantics =>
  (b, operand) => {
    begin(b);
    recordPointers(b);
    const { significand, signExponent, usable } = registerOperand(b, operand.index());
    b.setStatusFlags(
      b.perform('x87_compare_flags', significand, signExponent, usable, b.i32(signalQuiet), b.i32(pops)),
    );
  };

const flagsDefinition = (name: string, encoding: string, signalQuiet: number, pops: number): Definition => ({
  ...x87Definition(name, encoding, toFlags(signalQuiet, pops)),
  feature: 'cmov',
  writes: 'oszapc',
});

export const compare = define([
  x87Definition('fcom', 'd8 /2 Md', withMemory(false, 0)),
  x87Definition('fcom', 'dc /2 Mq', withMemory(false, 0)),
  // DC D0, DC D8 and DE D0 are undocumented.
  x87Definition('fcom', ['d8 /2 T', 'dc /2 T'], withRegister(1, 0)),
  x87Definition('fcomp', 'd8 /3 Md', withMemory(false, 1)),
  x87Definition('fcomp', 'dc /3 Mq', withMemory(false, 1)),
  x87Definition('fcomp', ['d8 /3 T', 'dc /3 T', 'de /2 T'], withRegister(1, 1)),
  x87Definition('fcompp', 'de d9', withRegister(1, 2)),
  x87Definition('fucom', 'dd /4 T', withRegister(0, 0)),
  x87Definition('fucomp', 'dd /5 T', withRegister(0, 1)),
  x87Definition('fucompp', 'da e9', withRegister(0, 2)),
  x87Definition('ficom', 'da /2 Md', withMemory(true, 0)),
  x87Definition('ficom', 'de /2 Mw', withMemory(true, 0)),
  x87Definition('ficomp', 'da /3 Md', withMemory(true, 1)),
  x87Definition('ficomp', 'de /3 Mw', withMemory(true, 1)),
  x87Definition('ftst', 'd9 e4', withZero),
  flagsDefinition('fcomi', 'db /6 T', 1, 0),
  flagsDefinition('fcomip', 'df /6 T', 1, 1),
  flagsDefinition('fucomi', 'db /5 T', 0, 0),
  flagsDefinition('fucomip', 'df /5 T', 0, 1),
]);

export const compareHelpers: readonly Helper[] = [compareCodes, compareFlags];
