/** Checks and endings that system instructions share. */
import type { Value } from '../../ir/node.ts';
import { helper } from '../helpers.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR4, VECTOR } from '../state.ts';

/** Looks the mode up anew. */
const modeChanged = helper('modeChanged', []);

export const leaveHelpers = [modeChanged];

/** #GP(0) above privilege level 0. */
export function privileged(b: InstructionBuilder): void {
  b.leaveIf(b.field('cpl'), () => b.raise(VECTOR.gp, b.i32(0)));
}

/** True (i32) where CR4 has a bit. */
export function hasCr4(b: InstructionBuilder, bit: number): Value {
  return b.and(b.wrap(b.field('cr4')), b.i32(bit));
}

/** #GP(0) above privilege level 0 while CR4.UMIP is set. */
export function userModeProtected(b: InstructionBuilder): void {
  const refused = b.and(b.ne(hasCr4(b, CR4.umip), b.i32(0)), b.ne(b.field('cpl'), b.i32(0)));
  b.leaveIf(refused, () => b.raise(VECTOR.gp, b.i32(0)));
}

/** #GP(0) where an address (i64) is not canonical. */
export function canonical(b: InstructionBuilder, address: Value): void {
  const extended = b.shrS(b.shl(address, b.i64(16)), b.i64(16));
  b.leaveIf(b.ne(address, extended), () => b.raise(VECTOR.gp, b.i32(0)));
}

/** Goes on where a far transfer put the instruction pointer, in whatever mode that is. Ends the instruction. */
export function continueAtRip(b: InstructionBuilder): void {
  b.jump(b.field('rip'));
}

/** Goes on after this instruction in the mode that it set up. Ends the instruction. */
export function resumeInNewMode(b: InstructionBuilder): void {
  b.helper('modeChanged');
  b.resume();
}
