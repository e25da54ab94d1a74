/** Control of the unit: its words, initialisation, waiting, the stack pointer, EMMS. */

import type { Value } from '../../ir/node.ts';
import { define, type Semantics } from '../definition.ts';
import { type Helper, helper } from '../helpers.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { VCPU } from '../state.ts';
import { begin, recordPointers, simple, x87Definition } from './common.ts';
import { checkPendingX87 } from './mmx-state.ts';
import { x87Routine } from './routines.ts';
import { STATUS, type X87 } from './unit.ts';

/** The control word after FNINIT. */
export const FCW_INITIAL = 0x37f;

/** Puts a control word in force: bit 6 is always set, and ES follows the masks. */
export function setControl(u: X87, word: Value): void {
  const { b } = u;
  const value = b.or(b.and(word, b.i32(0x1f3f)), b.i32(0x40));
  u.setField('fcw', value);
  const unmasked = b.and(b.and(u.field('fsw'), b.not(value)), b.i32(0x3f));
  const rest = b.and(u.field('fsw'), b.i32(~(STATUS.summary | STATUS.busy)));
  u.setField('fsw', b.or(rest, b.select(unmasked, b.i32(STATUS.summary | STATUS.busy), b.i32(0))));
}

const loadControl = x87Routine('x87_load_control', ['i32'], undefined, (u, word) => setControl(u, word));

/** What FNINIT does; registers keep their contents. */
const initialise = x87Routine('x87_initialise', [], undefined, (u) => {
  const { b, cpu } = u;
  u.setField('fcw', b.i32(FCW_INITIAL));
  for (const name of ['fsw', 'fpTop', 'ftw', 'fop', 'fcs', 'fds'] as const) u.setField(name, b.i32(0));
  for (const name of ['fip', 'fdp'] as const) b.storeHost('i64.store', cpu, b.i64(0), VCPU.offsets[name]);
});

const clearExceptions = x87Routine('x87_clear_exceptions', [], undefined, (u) => {
  const { b } = u;
  u.setField('fsw', b.and(u.field('fsw'), b.i32(STATUS.conditions | STATUS.c1)));
});

/** `x87_free (index, pops)`: FFREE, FFREEP. */
const free = x87Routine('x87_free', ['i32', 'i32'], undefined, (u, index, pops) => {
  u.free(u.physical(index));
  u.setField('fsw', u.b.and(u.field('fsw'), u.b.i32(~STATUS.c1)));
  u.b.if(pops, () => u.pop());
});

/** `x87_rotate (distance)`: FINCSTP, FDECSTP. */
const rotate = x87Routine('x87_rotate', ['i32'], undefined, (u, distance) => {
  const { b } = u;
  u.setField('fpTop', u.physical(distance));
  u.setField('fsw', b.and(u.field('fsw'), b.i32(~STATUS.c1)));
});

/** The status word with the top of the stack in it, as i64. */
export function statusWord(b: InstructionBuilder): Value {
  return b.extendU(b.or(b.field('fsw'), b.shl(b.field('fpTop'), b.i32(STATUS.topShift))));
}

const nothing: Semantics = (b) => {
  begin(b);
  recordPointers(b);
};

const emms: Semantics = (b) => {
  checkPendingX87(b);
  b.setField('fpTop', b.i32(0));
  b.setField('ftw', b.i32(0));
};

export const control = define([
  { name: 'fwait', encodings: ['9b'], unit: 'fwait', feature: 'fpu', semantics: (b) => checkPendingX87(b) },
  x87Definition('fninit', 'db e3', (b) => b.perform('x87_initialise')),
  x87Definition('fnclex', 'db e2', (b) => b.perform('x87_clear_exceptions')),
  x87Definition('fldcw', 'd9 /5 Mw', (b, memory) => {
    checkPendingX87(b);
    b.perform('x87_load_control', b.wrap(memory.read()));
  }),
  x87Definition('fnstcw', 'd9 /7 Mw', (b, memory) => memory.write(b.extendU(b.field('fcw')))),
  x87Definition('fnstsw', 'dd /7 Mw', (b, memory) => memory.write(statusWord(b))),
  x87Definition('fnstsw', 'df e0 AX', (b, ax) => ax.write(statusWord(b))),
  x87Definition('ffree', 'dd /0 T', simple('x87_free', 0)),
  x87Definition('ffreep', 'df /0 T', simple('x87_free', 1)),
  x87Definition('fincstp', 'd9 f7', simple('x87_rotate', 1)),
  x87Definition('fdecstp', 'd9 f6', simple('x87_rotate', -1)),
  x87Definition('fnop', 'd9 d0', nothing),
  // They enabled and disabled interrupts of the 8087 and set the mode of the 80287; nothing since.
  x87Definition('fneni', 'db e0', () => {}),
  x87Definition('fndisi', 'db e1', () => {}),
  x87Definition('fnsetpm', 'db e4', () => {}),
  { name: 'emms', encodings: ['np 0f 77'], unit: 'mmx', feature: 'mmx', semantics: emms },
]);

export const controlHelpers: readonly Helper[] = [
  /**
   * Asserts FERR#; not 0 where the processor goes on regardless because IGNNE# is asserted. Otherwise the instruction
   * is tried again until an interrupt is taken.
   */
  helper('ferr', [], 'i32'),
  loadControl,
  initialise,
  clearExceptions,
  free,
  rotate,
];
