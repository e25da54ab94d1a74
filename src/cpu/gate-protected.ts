/** Delivery through the gates of 16- and 32-bit protected mode and from virtual-8086 mode (SDM vol. 3A 6.12, 20.3). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { EFLAGS, SEGMENT, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  limitOf,
  markAccessed,
  readDescriptor,
  SYSTEM_TYPE,
  selectorError,
} from './descriptor.ts';
import { type Event, flagsImage, HANDLER_CLEARS, idtError } from './event.ts';
import { openInnerStack } from './inner-stack.ts';
import { isV86 } from './mode.ts';
import { setFromDescriptor, setNull } from './segmentation.ts';
import { currentStack, push, pushAll, type Stack, setStackPointer } from './stack.ts';
import { readTaskSegment } from './task-segment.ts';
import { switchTask } from './task-switch.ts';

/** Enters the handler; on `false` the fault fields are set. Only a task switch may then have changed registers. */
export function enterProtected(context: CpuContext, event: Event): boolean {
  const { state } = context;
  const at = event.vector * 8;
  if (at + 7 > state.idtrLimit) return raise(state, VECTOR.gp, idtError(event));
  const gate = context.readLinear(state.idtrBase + BigInt(at), 8, MEMORY_ACCESS.system);
  if (gate === undefined) return false;
  const low = Number(gate & 0xffff_ffffn);
  const high = Number(gate >> 32n);
  const type = (high >>> 8) & 0x1f;
  const known =
    type === SYSTEM_TYPE.taskGate ||
    (type & 0x17) === SYSTEM_TYPE.interruptGate16 ||
    (type & 0x17) === SYSTEM_TYPE.trapGate16;
  if (!known || (event.kind === 'software' && ((high >>> 13) & 3) < state.cpl)) {
    return raise(state, VECTOR.gp, idtError(event));
  }
  if ((high & 0x8000) === 0) return raise(state, VECTOR.np, idtError(event));
  if (type === SYSTEM_TYPE.taskGate) return enterTask(context, event, low >>> 16);
  return enterSegment(context, event, low, high);
}

function enterTask(context: CpuContext, event: Event, selector: number): boolean {
  const tss = readTaskSegment(context, selector, 'available', VECTOR.gp, event.ext);
  if (tss === undefined) return false;
  if (switchTask(context, tss, 'interrupt', event.returnIp, event.ext) !== 'done') return false;
  if (event.error === undefined) return true;
  const stack = currentStack(context.state, event.ext);
  const wide = (tss.high & 0x800) !== 0;
  if (!push(context, stack, event.error, wide ? 4 : 2)) return false;
  setStackPointer(context.state, stack.size, stack.pointer);
  return true;
}

/** The handler's code segment, or `undefined` after a fault. */
function readCode(context: CpuContext, selector: number, ext: 0 | 1): Descriptor | undefined {
  const { state } = context;
  if (isNull(selector)) {
    raise(state, VECTOR.gp, ext);
    return undefined;
  }
  const code = readDescriptor(context, selector, VECTOR.gp, ext);
  if (code === undefined) return undefined;
  // From virtual-8086 mode a handler runs at level 0 and nowhere else.
  const wrongLevel = isV86(state) ? isConforming(code) || dplOf(code) !== 0 : dplOf(code) > state.cpl;
  if (!isCode(code) || wrongLevel) {
    raise(state, VECTOR.gp, selectorError(selector, ext));
    return undefined;
  }
  if (!isPresent(code)) {
    raise(state, VECTOR.np, selectorError(selector, ext));
    return undefined;
  }
  return code;
}

function enterSegment(context: CpuContext, event: Event, low: number, high: number): boolean {
  const { state } = context;
  const { ext } = event;
  const selector = low >>> 16;
  const code = readCode(context, selector, ext);
  if (code === undefined) return false;
  const wide = (high & 0x800) !== 0;
  const offset = wide ? ((high & 0xffff0000) | (low & 0xffff)) >>> 0 : low & 0xffff;
  const level = isConforming(code) ? state.cpl : dplOf(code);
  const inner = level < state.cpl;

  const opened = inner ? openInnerStack(context, level, ext) : undefined;
  if (inner && opened === undefined) return false;
  const stack = opened?.stack ?? currentStack(state, ext);
  if (!pushFrame(context, stack, event, wide ? 4 : 2, inner)) return false;
  if (offset > limitOf(code)) return raise(state, VECTOR.gp, ext);
  if (!markAccessed(context, code)) return false;

  if (isV86(state)) for (const s of [SEGMENT.es, SEGMENT.ds, SEGMENT.fs, SEGMENT.gs]) setNull(state, s, 0);
  if (opened !== undefined) setFromDescriptor(state, SEGMENT.ss, opened.descriptor.selector, opened.descriptor);
  setStackPointer(state, stack.size, stack.pointer);
  setFromDescriptor(state, SEGMENT.cs, (selector & 0xfffc) | level, code);
  state.cpl = level;
  state.rip = BigInt(offset);
  const trap = (high & 0x100) !== 0;
  state.eflags &= ~(HANDLER_CLEARS | (trap ? 0 : EFLAGS.if));
  return true;
}

/** Pushes what the handler's IRET takes back, then the error code. */
function pushFrame(context: CpuContext, stack: Stack, event: Event, bytes: 2 | 4, inner: boolean): boolean {
  const { state } = context;
  const { segmentSelector: s } = state;
  if (isV86(state)) {
    if (!pushAll(context, stack, bytes, s[SEGMENT.gs], s[SEGMENT.fs], s[SEGMENT.ds], s[SEGMENT.es])) return false;
  }
  if (inner && !pushAll(context, stack, bytes, s[SEGMENT.ss], state.gpr[4] & 0xffff_ffffn)) return false;
  return (
    pushAll(context, stack, bytes, flagsImage(state, event), s[SEGMENT.cs], event.returnIp) &&
    (event.error === undefined || push(context, stack, event.error, bytes))
  );
}
