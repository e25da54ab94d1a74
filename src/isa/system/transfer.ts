/** Far jumps, calls and returns, software interrupts and their return. */
import type { Value } from '../../ir/node.ts';
import { type Definition, define } from '../definition.ts';
import { helper } from '../helpers.ts';
import type { Operand, Width } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS, VECTOR } from '../state.ts';
import { continueAtRip } from './leave.ts';

export const transferHelpers = [
  /** (selector, offset, operand size, address after the instruction) */
  helper('farJump', ['i32', 'i64', 'i32', 'i64'], undefined, true),
  helper('farCall', ['i32', 'i64', 'i32', 'i64'], undefined, true),
  /** (operand size, bytes of parameters) */
  helper('farReturn', ['i32', 'i32'], undefined, true),
  /** (operand size, address after the instruction) */
  helper('interruptReturn', ['i32', 'i64'], undefined, true),
  /** (vector, 1 for INT1, address after the instruction) */
  helper('softwareInterrupt', ['i32', 'i32', 'i64'], undefined, true),
];

/** Selector (i32) and offset (i64) of a far pointer, immediate or in memory. */
function farPointer(b: InstructionBuilder, src: Operand): { selector: Value; offset: Value } {
  if (src.kind === 'immediate') {
    // The offset stands in the low half, the selector above.
    const value = src.read();
    return { selector: b.wrap(b.shrU(value, b.i64(32))), offset: b.zeroExtend(value, 4) };
  }
  const size = b.operandSize;
  const offset = b.load(src.linear(size, 'read'), size, src.accessFlags);
  return { selector: b.wrap(b.load(src.linear(2, 'read', size), 2, src.accessFlags)), offset };
}

function far(name: string, helperName: string, ...encodings: string[]): Definition {
  return {
    name,
    encodings,
    ends: true,
    uses: ['mode', 'stack'],
    semantics(b, src) {
      const { selector, offset } = farPointer(b, src);
      b.perform(helperName, selector, offset, b.i32(b.operandSize), b.nextIp());
      continueAtRip(b);
    },
  };
}

function interrupt(b: InstructionBuilder, vector: Value, kind: 0 | 1): void {
  b.perform('softwareInterrupt', vector, b.i32(kind), b.nextIp());
  continueAtRip(b);
}

/** INT n in virtual-8086 mode needs IOPL 3. */
function checkVirtual8086(b: InstructionBuilder): void {
  if (b.mode.protected) return;
  const bits = b.and(b.field('eflags'), b.i32(EFLAGS.vm | EFLAGS.iopl));
  const below = b.ltU(b.and(bits, b.i32(EFLAGS.iopl)), b.i32(EFLAGS.iopl));
  const refused = b.and(b.ne(b.and(bits, b.i32(EFLAGS.vm)), b.i32(0)), below);
  b.leaveIf(refused, () => b.raise(VECTOR.gp, b.i32(0)));
}

function farReturn(b: InstructionBuilder, release: Value): void {
  b.perform('farReturn', b.i32(b.operandSize satisfies Width), release);
  continueAtRip(b);
}

export const transfer = define([
  far('jmp', 'farJump', 'ea i64 Ap', 'ff /5 Mp'),
  far('call', 'farCall', '9a i64 Ap', 'ff /3 Mp'),
  {
    name: 'retf',
    encodings: ['cb'],
    ends: true,
    uses: ['mode', 'stack'],
    semantics: (b) => farReturn(b, b.i32(0)),
  },
  {
    name: 'retf',
    encodings: ['ca Iw'],
    ends: true,
    uses: ['mode', 'stack'],
    semantics: (b, count) => farReturn(b, b.wrap(count.read())),
  },
  {
    name: 'iret',
    encodings: ['cf'],
    ends: true,
    fences: true,
    writes: 'oszapc',
    uses: ['mode', 'stack'],
    semantics(b) {
      b.perform('interruptReturn', b.i32(b.operandSize), b.nextIp());
      continueAtRip(b);
    },
  },
  {
    name: 'int',
    encodings: ['cd Ib'],
    ends: true,
    uses: ['mode', 'stack'],
    semantics(b, vector) {
      checkVirtual8086(b);
      interrupt(b, b.wrap(vector.read()), 0);
    },
  },
  { name: 'int3', encodings: ['cc'], ends: true, semantics: (b) => interrupt(b, b.i32(VECTOR.bp), 0) },
  { name: 'int1', encodings: ['f1'], ends: true, semantics: (b) => interrupt(b, b.i32(VECTOR.db), 1) },
  {
    name: 'into',
    encodings: ['ce i64'],
    ends: true,
    reads: 'o',
    semantics(b) {
      b.leaveIf(b.flag('of'), () => interrupt(b, b.i32(VECTOR.of), 0));
      b.resume();
    },
  },
]);
