/**
 * Routines in WebAssembly for what a busy guest's kernel does all the time: system calls, faults, interrupts and their
 * return. Each does the usual case in 64-bit mode; its JavaScript counterpart, by the name with `slow` before it, does the
 * rest.
 */
import type { Helper } from '../../isa/helpers.ts';
import { addressSpaceRoutines } from './address-space.ts';
import { deliveryRoutines } from './delivery.ts';
import { fastCallRoutines } from './fast-call.ts';
import { flagRoutines } from './flags.ts';
import { interruptReturnRoutines } from './interrupt-return.ts';
import { longModeRoutines } from './long-mode.ts';
import { memoryRoutines } from './memory.ts';
import { registerRoutines } from './registers.ts';

export const systemRoutines: readonly Helper[] = [
  ...flagRoutines,
  ...longModeRoutines,
  ...memoryRoutines,
  ...registerRoutines,
  ...addressSpaceRoutines,
  ...fastCallRoutines,
  ...deliveryRoutines,
  ...interruptReturnRoutines,
];

/** `helpers`, with routines in the place of those of the same name. */
export function withRoutines(helpers: readonly Helper[], routines: readonly Helper[]): readonly Helper[] {
  const names = new Set(routines.map(({ name }) => name));
  return [...helpers.filter(({ name }) => !names.has(name)), ...routines];
}
