/** Access to I/O ports: permission, breakpoints, the access itself (SDM vol. 1 18.5). */
import { CR0, EFLAGS } from '../isa/state.ts';
import type { CpuContext } from './context.ts';
import { ioBreakpoints } from './debug.ts';
import { iopl } from './flags.ts';
import { checkIoBitmap } from './tss.ts';

/** Whether the program may use `size` ports from `port` on; raises #GP(0) where not. */
export function checkPort(context: CpuContext, port: number, size: number): boolean {
  const { state } = context;
  if ((Number(state.cr0) & CR0.pe) === 0) return true;
  if (state.cpl <= iopl(state) && (state.eflags & EFLAGS.vm) === 0) return true;
  return checkIoBitmap(context, port, size);
}

/** Reads a port that `checkPort` has granted; unsigned. */
export function readPort(context: CpuContext, port: number, size: 1 | 2 | 4): number {
  context.state.debugPending |= ioBreakpoints(context.state, port, size);
  return context.readPort(port, size) >>> 0;
}

export function writePort(context: CpuContext, port: number, size: 1 | 2 | 4, value: number): void {
  context.state.debugPending |= ioBreakpoints(context.state, port, size);
  context.writePort(port, size, size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff));
}
