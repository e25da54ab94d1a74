/** Arithmetic of the register stack, in all its forms. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define, type Semantics } from '../definition.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { begin, physical, recordPointers, simple, used, x87Definition } from './common.ts';

interface Operation {
  readonly name: string;
  /** ModRM.reg of the forms whose destination is ST(0). */
  readonly extension: number;
  /** ModRM.reg of the forms whose destination is ST(i): subtraction and division change places. */
  readonly toStack: number;
  readonly routine: 'x87_add' | 'x87_mul' | 'x87_sub' | 'x87_div';
  readonly reversed: boolean;
}

const OPERATIONS: readonly Operation[] = [
  { name: 'add', extension: 0, toStack: 0, routine: 'x87_add', reversed: false },
  { name: 'mul', extension: 1, toStack: 1, routine: 'x87_mul', reversed: false },
  { name: 'sub', extension: 4, toStack: 5, routine: 'x87_sub', reversed: false },
  { name: 'subr', extension: 5, toStack: 4, routine: 'x87_sub', reversed: true },
  { name: 'div', extension: 6, toStack: 7, routine: 'x87_div', reversed: false },
  { name: 'divr', extension: 7, toStack: 6, routine: 'x87_div', reversed: true },
];

interface Source {
  readonly significand: Value;
  readonly signExponent: Value;
}

/** Destination op source, or the reverse, to ST(`index`). */
function compute(
  b: InstructionBuilder,
  operation: Operation,
  destination: Source,
  source: Source,
  usable: Value,
  index: Value,
  pops: boolean,
): void {
  const [x, y] = operation.reversed ? [source, destination] : [destination, source];
  b.perform(
    operation.routine,
    x.significand,
    x.signExponent,
    y.significand,
    y.signExponent,
    usable,
    index,
    b.i32(pops ? 1 : 0),
  );
}

function register(b: InstructionBuilder, number: Value): Source {
  return { significand: b.significand(number), signExponent: b.signExponent(number) };
}

/** ST(0) and ST(i); the destination is ST(i) where `toStack`. */
const between =
  (operation: Operation, toStack: boolean, pops: boolean): Semantics =>
  (b, operand) => {
    begin(b);
    recordPointers(b);
    const index = operand.index();
    const top = physical(b, 0);
    const other = physical(b, index);
    const usable = b.and(used(b, top), used(b, other));
    const [x, y] = toStack ? [other, top] : [top, other];
    compute(b, operation, register(b, x), register(b, y), usable, toStack ? index : b.i32(0), pops);
  };

/** How a memory operand becomes an f80: `f32_widen`, `f64_widen` or from an integer. */
export function widen(b: InstructionBuilder, memory: Operand, integer: boolean): Source {
  const bits = memory.read();
  const significand = integer
    ? b.helper('i64_to_f80', b.signExtend(bits, memory.size as Width))
    : memory.size === 4
      ? b.helper('f32_widen', b.wrap(bits))
      : b.helper('f64_widen', bits);
  return { significand, signExponent: b.field('fpResultExponent') };
}

const withMemory =
  (operation: Operation, integer: boolean): Semantics =>
  (b, memory) => {
    begin(b);
    const source = widen(b, memory, integer);
    recordPointers(b, memory);
    const top = physical(b, 0);
    compute(b, operation, register(b, top), source, used(b, top), b.i32(0), false);
  };

function forms(operation: Operation): Definition[] {
  const { name, extension, toStack } = operation;
  return [
    x87Definition(`f${name}`, `d8 /${extension} Md`, withMemory(operation, false)),
    x87Definition(`f${name}`, `dc /${extension} Mq`, withMemory(operation, false)),
    x87Definition(`fi${name}`, `da /${extension} Md`, withMemory(operation, true)),
    x87Definition(`fi${name}`, `de /${extension} Mw`, withMemory(operation, true)),
    x87Definition(`f${name}`, `d8 /${extension} T`, between(operation, false, false)),
    x87Definition(`f${name}`, `dc /${toStack} T`, between(operation, true, false)),
    x87Definition(`f${name}p`, `de /${toStack} T`, between(operation, true, true)),
  ];
}

export const arithmetic = define([
  ...OPERATIONS.flatMap(forms),
  x87Definition('fchs', 'd9 e0', simple('x87_change_sign')),
  x87Definition('fabs', 'd9 e1', simple('x87_absolute')),
  x87Definition('fsqrt', 'd9 fa', simple('x87_sqrt')),
  x87Definition('frndint', 'd9 fc', simple('x87_round')),
  x87Definition('fscale', 'd9 fd', simple('x87_scale')),
  x87Definition('fxtract', 'd9 f4', simple('x87_extract')),
  x87Definition('fprem', 'd9 f8', simple('x87_remainder')),
  x87Definition('fprem1', 'd9 f5', simple('x87_remainder_nearest')),
]);
