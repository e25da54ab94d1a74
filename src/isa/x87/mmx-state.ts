/** What MMX instructions share with the x87 unit, whose registers they use (SDM vol. 1 9.5, vol. 3A 12.2). */
import type { Value } from '../../ir/node.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { CR0, VECTOR } from '../state.ts';
import { STATUS } from './unit.ts';

/** The transition of the x87 registers to MMX registers: the stack's top is register 0, no register is empty. */
export function mmxEnter(b: InstructionBuilder): void {
  b.setField('fpTop', b.i32(0));
  b.setField('ftw', b.i32(0xff));
}

/** Writes an MMX register; as an operand does that, sign and exponent of the x87 register become ones. */
export function writeMmx(_b: InstructionBuilder, dst: Operand, value: Value): void {
  dst.write(value);
}

/**
 * What every waiting x87 instruction, FWAIT and every MMX instruction begins with: an unmasked x87 exception that
 * waits is raised as #MF or, with CR0.NE clear, told to the interrupt controller as FERR#. The processor then stops
 * until an interrupt comes, unless IGNNE# is asserted (SDM vol. 1 appendix D.2).
 */
export function checkPendingX87(b: InstructionBuilder): void {
  b.leaveIf(b.and(b.field('fsw'), b.i32(STATUS.summary)), () => {
    const native = b.and(b.wrap(b.field('cr0')), b.i32(CR0.ne));
    b.leaveIf(native, () => b.raise(VECTOR.mf));
    b.leaveIf(b.eqz(b.helper('ferr')), () => b.jump(b.currentIp()));
  });
}
