/** Far JMP and CALL (SDM vol. 2A JMP, CALL). */
import { SEGMENT, VECTOR } from '../isa/state.ts';
import { isCanonical } from './address.ts';
import { callGate, jumpGate } from './call-gate.ts';
import { type CpuContext, raise } from './context.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSegment,
  limitOf,
  markAccessed,
  readDescriptor,
  SYSTEM_TYPE,
  selectorError,
  typeOf,
} from './descriptor.ts';
import { deliverFault } from './interrupt.ts';
import { interruptsMayFollow } from './interrupt-window.ts';
import { isLong, isProtected, isV86 } from './mode.ts';
import { setFromDescriptor, setRealSegment, setV86Segment } from './segmentation.ts';
import { currentStack, pushAll, setStackPointer } from './stack.ts';
import { isTaskSegment, readTaskSegment } from './task-segment.ts';
import { type SwitchReason, switchTask } from './task-switch.ts';

/** A far target as the instruction gives it. */
export interface FarTarget {
  readonly selector: number;
  /** Zero-extended from the operand size. */
  readonly offset: bigint;
  /** Bytes of the offset, and of what CALL pushes. */
  readonly size: 2 | 4 | 8;
  /** Address after the instruction. */
  readonly nextIp: bigint;
}

/** JMP ptr16:x, JMP m16:x. On success `state.rip` is the target. */
export function farJump(context: CpuContext, target: FarTarget): boolean {
  return transfer(context, target, 'jump');
}

/** CALL ptr16:x, CALL m16:x. On success `state.rip` is the target. */
export function farCall(context: CpuContext, target: FarTarget): boolean {
  return transfer(context, target, 'call');
}

type Reason = 'jump' | 'call';

function transfer(context: CpuContext, target: FarTarget, reason: Reason): boolean {
  const { state } = context;
  const { selector } = target;
  if (!isProtected(state)) return transferReal(context, target, reason);
  if (isNull(selector)) return raise(state, VECTOR.gp, 0);
  const d = readDescriptor(context, selector, VECTOR.gp);
  if (d === undefined) return false;
  if (isSegment(d)) return transferCode(context, target, d, reason);
  const type = typeOf(d);
  if (type === SYSTEM_TYPE.callGate32 || (type === SYSTEM_TYPE.callGate16 && !isLong(state))) {
    return reason === 'jump' ? jumpGate(context, d) : callGate(context, d, target.nextIp);
  }
  if (isLong(state)) return raise(state, VECTOR.gp, selectorError(selector));
  return transferTask(context, d, reason, target.nextIp);
}

/** Pushes CS and the return address for a CALL; the registers change only with `commit`. */
function pushReturn(context: CpuContext, target: FarTarget, reason: Reason): { commit(): void } | undefined {
  const { state } = context;
  if (reason === 'jump') return { commit() {} };
  const stack = currentStack(state);
  if (!pushAll(context, stack, target.size, state.segmentSelector[SEGMENT.cs], target.nextIp)) return undefined;
  return { commit: () => setStackPointer(state, stack.size, stack.pointer) };
}

function transferReal(context: CpuContext, target: FarTarget, reason: Reason): boolean {
  const { state } = context;
  if (Number(target.offset) > state.segmentLimit[SEGMENT.cs]) return raise(state, VECTOR.gp, 0);
  const pushed = pushReturn(context, target, reason);
  if (pushed === undefined) return false;
  pushed.commit();
  if (isV86(state)) setV86Segment(state, SEGMENT.cs, target.selector);
  else setRealSegment(state, SEGMENT.cs, target.selector);
  state.rip = target.offset;
  context.modeChanged();
  return true;
}

/** Whether `offset` can be an instruction pointer in the code segment `d`. */
export function validTarget(context: CpuContext, d: Descriptor, offset: bigint): boolean {
  const wide = isLong(context.state) && (d.high & 0x200000) !== 0;
  return wide ? isCanonical(offset) : Number(offset) <= limitOf(d);
}

function transferCode(context: CpuContext, target: FarTarget, d: Descriptor, reason: Reason): boolean {
  const { state } = context;
  const { selector, offset } = target;
  const error = selectorError(selector);
  const allowed = isConforming(d) ? dplOf(d) <= state.cpl : (selector & 3) <= state.cpl && dplOf(d) === state.cpl;
  // L and D together are reserved.
  const bothSizes = isLong(state) && (d.high & 0x600000) === 0x600000;
  if (!isCode(d) || !allowed || bothSizes) return raise(state, VECTOR.gp, error);
  if (!isPresent(d)) return raise(state, VECTOR.np, error);
  if (!validTarget(context, d, offset)) return raise(state, VECTOR.gp, 0);
  const pushed = pushReturn(context, target, reason);
  if (pushed === undefined || !markAccessed(context, d)) return false;
  pushed.commit();
  setFromDescriptor(state, SEGMENT.cs, (selector & 0xfffc) | state.cpl, d);
  state.rip = offset;
  context.modeChanged();
  return true;
}

/** JMP or CALL to a task gate or a TSS. */
function transferTask(context: CpuContext, d: Descriptor, reason: Reason, nextIp: bigint): boolean {
  const { state } = context;
  const error = selectorError(d.selector);
  const isGate = typeOf(d) === SYSTEM_TYPE.taskGate;
  if (dplOf(d) < state.cpl || dplOf(d) < (d.selector & 3)) return raise(state, VECTOR.gp, error);
  if (!isGate && (!isTaskSegment(d, 'available') || (d.selector & 4) !== 0)) return raise(state, VECTOR.gp, error);
  if (!isPresent(d)) return raise(state, VECTOR.np, error);
  const tss = isGate ? readTaskSegment(context, d.low >>> 16, 'available', VECTOR.gp) : d;
  return tss !== undefined && switchFrom(context, tss, reason, nextIp);
}

/** Switches tasks for an instruction: a fault of the new task is delivered there, and the instruction is complete. */
export function switchFrom(context: CpuContext, tss: Descriptor, reason: SwitchReason, nextIp: bigint): boolean {
  const { eflags } = context.state;
  const result = switchTask(context, tss, reason, nextIp);
  if (result !== 'refused') interruptsMayFollow(context, eflags);
  if (result === 'faulted') deliverFault(context);
  return result !== 'refused';
}
