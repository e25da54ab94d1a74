/** The moment in which IF rises: an interrupt that waits is due at the next instruction boundary. */
import { EFLAGS } from '../isa/state.ts';
import type { CpuContext } from './context.ts';

/** To be called after a change of RFLAGS by an instruction that ends a block; `before` is EFLAGS as it was. */
export function interruptsMayFollow(context: CpuContext, before: number): void {
  const { state } = context;
  if ((~before & state.eflags & EFLAGS.if) === 0) return;
  if (context.interruptWaits === undefined || context.interruptWaits()) state.poll = 1;
}
