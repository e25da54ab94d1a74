/** Delivery through the interrupt vector table of real mode (SDM vol. 3B 20.1.4). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { EFLAGS, SEGMENT, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import { type Event, flagsImage } from './event.ts';
import { setRealSegment } from './segmentation.ts';
import { currentStack, pushAll, setStackPointer } from './stack.ts';

/** Enters the handler; on `false` the fault fields are set and no register changed. */
export function enterReal(context: CpuContext, event: Event): boolean {
  const { state } = context;
  const at = event.vector * 4;
  if (at + 3 > state.idtrLimit) return raise(state, VECTOR.gp, 0);
  const entry = context.readLinear(state.idtrBase + BigInt(at), 4, MEMORY_ACCESS.system);
  if (entry === undefined) return false;
  const stack = currentStack(state);
  const selector = state.segmentSelector[SEGMENT.cs];
  if (!pushAll(context, stack, 2, flagsImage(state, event), selector, event.returnIp)) return false;
  setStackPointer(state, stack.size, stack.pointer);
  state.eflags &= ~(EFLAGS.if | EFLAGS.tf | EFLAGS.rf | EFLAGS.ac);
  setRealSegment(state, SEGMENT.cs, Number(entry >> 16n));
  state.rip = entry & 0xffffn;
  return true;
}
