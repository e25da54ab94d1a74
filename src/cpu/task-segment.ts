/** TSS descriptors as targets of a task switch (SDM vol. 3A 7.2.2). */
import { VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import {
  type Descriptor,
  isPresent,
  isSegment,
  readDescriptor,
  SYSTEM_TYPE,
  selectorError,
  typeOf,
} from './descriptor.ts';

export type TaskState = 'available' | 'busy';

const TYPES: Record<TaskState, readonly number[]> = {
  available: [SYSTEM_TYPE.tss16, SYSTEM_TYPE.tss32],
  busy: [SYSTEM_TYPE.tss16Busy, SYSTEM_TYPE.tss32Busy],
};

/** Whether a descriptor is a 16- or 32-bit TSS in the given state. */
export function isTaskSegment(d: Descriptor, wanted: TaskState): boolean {
  return !isSegment(d) && TYPES[wanted].includes(typeOf(d));
}

/**
 * The TSS descriptor that a task gate, a back link or a far pointer names. Raises `vector`(selector) where it is not in
 * the GDT or not a TSS in the wanted state, #NP(selector) where it is not present.
 */
export function readTaskSegment(
  context: CpuContext,
  selector: number,
  wanted: TaskState,
  vector: number,
  ext = 0,
): Descriptor | undefined {
  const error = selectorError(selector, ext);
  if ((selector & 4) !== 0) {
    raise(context.state, vector, error);
    return undefined;
  }
  const d = readDescriptor(context, selector, vector, ext);
  if (d === undefined) return undefined;
  if (!isTaskSegment(d, wanted)) {
    raise(context.state, vector, error);
    return undefined;
  }
  if (!isPresent(d)) {
    raise(context.state, VECTOR.np, error);
    return undefined;
  }
  return d;
}
