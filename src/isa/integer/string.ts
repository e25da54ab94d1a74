/**
 * String instructions. A repeated one goes element by element, and each element leaves a state from which it can be
 * started again (SDM vol. 2B, REP). Forward REP MOVS and STOS do the rest of a page at once (`bulk.ts`).
 */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import type { InstructionBuilder, Width } from '../semantics.ts';
import { EFLAGS, GPR, SEGMENT } from '../state.ts';
import { bulkMove, bulkStore } from './bulk.ts';
import { advance } from './common.ts';

type Step = (b: InstructionBuilder, size: Width) => void;

/** Bytes from one element to the next. */
function stride(b: InstructionBuilder, size: Width): Value {
  return b.select(b.and(b.field('eflags'), b.i32(EFLAGS.df)), b.i64(-size), b.i64(size));
}

function readSource(b: InstructionBuilder, size: Width): Value {
  return b.load(b.linear(b.dataSegment, b.gpr(GPR.rsi, b.addressSize), size, 'read'), size);
}

/** The destination's segment is ES whatever the override. */
function destination(b: InstructionBuilder, size: Width, access: 'read' | 'write'): Value {
  return b.linear(SEGMENT.es, b.gpr(GPR.rdi, b.addressSize), size, access);
}

const moveElement: Step = (b, size) => {
  const value = readSource(b, size);
  b.store(destination(b, size, 'write'), size, value);
  const step = stride(b, size);
  advance(b, GPR.rsi, step);
  advance(b, GPR.rdi, step);
};

const storeElement: Step = (b, size) => {
  b.store(destination(b, size, 'write'), size, b.gpr(GPR.rax, size));
  advance(b, GPR.rdi, stride(b, size));
};

const loadElement: Step = (b, size) => {
  const value = readSource(b, size);
  b.setGpr(GPR.rax, value, size);
  advance(b, GPR.rsi, stride(b, size));
};

const compareElement: Step = (b, size) => {
  const x = readSource(b, size);
  const y = b.load(destination(b, size, 'read'), size);
  const step = stride(b, size);
  advance(b, GPR.rsi, step);
  advance(b, GPR.rdi, step);
  b.flagsOfSub(size, x, y, b.sub(x, y));
};

const scanElement: Step = (b, size) => {
  const y = b.load(destination(b, size, 'read'), size);
  const x = b.gpr(GPR.rax, size);
  advance(b, GPR.rdi, stride(b, size));
  b.flagsOfSub(size, x, y, b.sub(x, y));
};

/** Takes one from the count; 1 where elements are left. */
function countDown(b: InstructionBuilder): Value {
  const size = b.addressSize;
  const left = b.zeroExtend(b.sub(b.gpr(GPR.rcx, size), b.i64(1)), size);
  b.setGpr(GPR.rcx, left, size);
  return b.ne(left, b.i64(0));
}

/** Runs `element` as the repeat prefix says. `compares`: ZF ends the repetition. `bulk` follows an element. */
function repeated(b: InstructionBuilder, element: () => void, compares: boolean, bulk?: () => void): void {
  if (b.repeat === 0) {
    element();
    return;
  }
  const left = () => b.ne(b.gpr(GPR.rcx, b.addressSize), b.i64(0));
  b.if(left(), () => {
    b.loop((again) => {
      element();
      let more = countDown(b);
      b.restartPoint();
      if (compares) more = b.and(more, b.repeat === 0xf3 ? b.flag('zf') : b.eqz(b.flag('zf')));
      if (bulk !== undefined) {
        b.if(more, bulk);
        b.restartPoint();
        more = left();
      }
      b.if(more, () => {
        b.yieldPoint();
        b.branch(again);
      });
    });
  });
}

interface Shape {
  readonly element: Step;
  /** Elements beyond the one just done, while they lie in one page and in place. */
  readonly bulk?: Step;
  /** REPE and REPNE look at ZF. */
  readonly compares?: boolean;
}

const SUFFIXES = [
  ['b', 1],
  ['w', 2],
  ['d', 4],
  ['q', 8],
] as const;

/** The forms of one instruction: `opcode` for bytes, the next for the operand size. */
function family(name: string, opcode: number, { element, bulk, compares = false }: Shape): Definition[] {
  return SUFFIXES.map(([suffix, size]) => ({
    name: `${name}${suffix}`,
    encodings: [size === 1 ? `${opcode.toString(16)} rep` : `${(opcode + 1).toString(16)} os${size * 8} rep`],
    ...(compares ? { reads: 'oszapc', writes: 'oszapc' } : {}),
    semantics: (b) => repeated(b, () => element(b, size), compares, bulk && (() => bulk(b, size))),
  }));
}

export const string = define([
  ...family('movs', 0xa4, { element: moveElement, bulk: bulkMove }),
  ...family('cmps', 0xa6, { element: compareElement, compares: true }),
  ...family('stos', 0xaa, { element: storeElement, bulk: bulkStore }),
  ...family('lods', 0xac, { element: loadElement }),
  ...family('scas', 0xae, { element: scanElement, compares: true }),
]);
