/**
 * String instructions. A repeated one goes element by element, and each element leaves a state from which it can be
 * started again (SDM vol. 2B, REP). Forward REP MOVS and STOS do the rest of a page at once (`bulk.ts`).
 */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import type { Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
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

/** Runs `element` as the repeat prefix says; each is a step. `compares`: ZF ends the repetition. */
function repeated(b: InstructionBuilder, element: () => void, compares: boolean): void {
  if (b.repeat === 0) {
    element();
    return;
  }
  b.if(b.ne(b.gpr(GPR.rcx, b.addressSize), b.i64(0)), () => {
    b.loop((again) => {
      element();
      let more = countDown(b);
      b.restartPoint();
      if (compares) more = b.and(more, b.repeat === 0xf3 ? b.flag('zf') : b.eqz(b.flag('zf')));
      b.if(more, () => {
        b.yieldPoint();
        b.branch(again);
      });
    });
  });
}

/** log2 of the elements of a bulk step that count as one instruction. */
const ELEMENTS_SHIFT = 3;

/** Number of the page with the last byte of the element at a pointer register. */
function pageOf(b: InstructionBuilder, segment: number, register: number, size: Width): Value {
  const offset = b.gpr(register, b.addressSize);
  const hasBase = b.mode.codeSize !== 8 || segment === SEGMENT.fs || segment === SEGMENT.gs;
  const linear = hasBase ? b.add(b.field('segmentBase', segment), offset) : offset;
  return b.shrU(b.add(linear, b.i64(size - 1)), b.i64(12));
}

/** Not 0 (i32) where a debug trap may follow an element: single-step or a breakpoint. */
function debugged(b: InstructionBuilder): Value {
  return b.or(b.and(b.field('eflags'), b.i32(EFLAGS.tf)), b.and(b.wrap(b.field('dr', 7)), b.i32(0xff)));
}

/**
 * As `repeated`, with `bulk` after each element. What `bulk` takes depends on what the TLB holds, but the count of
 * instructions must not: so the elements in one page of source and destination are a step, however they are done.
 */
function repeatedInBulk(b: InstructionBuilder, { element, bulk, moves = false }: Shape, size: Width): void {
  if (b.repeat === 0 || bulk === undefined) {
    repeated(b, () => element(b, size), false);
    return;
  }
  const left = () => b.ne(b.gpr(GPR.rcx, b.addressSize), b.i64(0));
  const target = () => pageOf(b, SEGMENT.es, GPR.rdi, size);
  const source = () => (moves ? pageOf(b, b.dataSegment, GPR.rsi, size) : b.i64(0));
  b.if(left(), () => {
    const single = b.variable('i32', debugged(b));
    const countBefore = b.variable('i64', b.gpr(GPR.rcx, b.addressSize));
    // A page of elements takes its time: it counts for more than one instruction.
    const charge = () =>
      b.work(b.wrap(b.shrU(b.sub(b.get(countBefore), b.gpr(GPR.rcx, b.addressSize)), b.i64(ELEMENTS_SHIFT))));
    b.loop((again) => {
      const [targetBefore, sourceBefore] = [b.variable('i64', target()), b.variable('i64', source())];
      element(b, size);
      const more = countDown(b);
      b.restartPoint();
      b.if(b.and(more, b.eqz(b.get(single))), () => bulk(b, size));
      b.restartPoint();
      b.if(left(), () => {
        const moved = b.or(b.ne(target(), b.get(targetBefore)), b.ne(source(), b.get(sourceBefore)));
        b.if(b.or(b.or(moved, b.get(single)), b.ne(b.field('poll'), b.i32(0))), () => {
          charge();
          b.yieldPoint();
          b.set(countBefore, b.gpr(GPR.rcx, b.addressSize));
        });
        b.branch(again);
      });
    });
    charge();
    b.leaveIf(b.leS(b.field('budget'), b.i32(0)), () => b.resume());
  });
}

interface Shape {
  readonly element: Step;
  /** Elements beyond the one just done, while they lie in one page and in place. */
  readonly bulk?: Step;
  /** REPE and REPNE look at ZF. */
  readonly compares?: boolean;
  /** For `bulk`: it has a source in memory. */
  readonly moves?: boolean;
}

const SUFFIXES = [
  ['b', 1],
  ['w', 2],
  ['d', 4],
  ['q', 8],
] as const;

/** The forms of one instruction: `opcode` for bytes, the next for the operand size. */
function family(name: string, opcode: number, shape: Shape): Definition[] {
  const { element, bulk, compares = false } = shape;
  return SUFFIXES.map(([suffix, size]) => ({
    name: `${name}${suffix}`,
    encodings: [size === 1 ? `${opcode.toString(16)} rep` : `${(opcode + 1).toString(16)} os${size * 8} rep`],
    ...(compares ? { reads: 'oszapc', writes: 'oszapc' } : {}),
    semantics: (b) =>
      bulk === undefined ? repeated(b, () => element(b, size), compares) : repeatedInBulk(b, shape, size),
  }));
}

export const string = define([
  ...family('movs', 0xa4, { element: moveElement, bulk: bulkMove, moves: true }),
  ...family('cmps', 0xa6, { element: compareElement, compares: true }),
  ...family('stos', 0xaa, { element: storeElement, bulk: bulkStore }),
  ...family('lods', 0xac, { element: loadElement }),
  ...family('scas', 0xae, { element: scanElement, compares: true }),
]);
