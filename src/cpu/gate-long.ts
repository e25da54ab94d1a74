/** Delivery through a gate of IA-32e mode (SDM vol. 3A 6.14). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { EFLAGS, GPR, SEGMENT, VECTOR } from '../isa/state.ts';
import { isCanonical } from './address.ts';
import { type CpuContext, raise } from './context.ts';
import {
  dplOf,
  isCode,
  isConforming,
  isLongCode,
  isNull,
  isPresent,
  markAccessed,
  readDescriptor,
  SYSTEM_TYPE,
  selectorError,
} from './descriptor.ts';
import { type Event, flagsImage, HANDLER_CLEARS, idtError } from './event.ts';
import { setFromDescriptor, setNull } from './segmentation.ts';
import { longStack, pushAll } from './stack.ts';
import { readInterruptStack, readLongStack } from './tss.ts';

/** The low half of a gate and the upper half of its offset, checked; `undefined` after a fault. */
function readGate(context: CpuContext, event: Event): { low: bigint; offset: bigint } | undefined {
  const { state } = context;
  const at = event.vector * 16;
  if (at + 15 > state.idtrLimit) {
    raise(state, VECTOR.gp, idtError(event));
    return undefined;
  }
  const address = state.idtrBase + BigInt(at);
  const low = context.readLinear(address, 8, MEMORY_ACCESS.system);
  if (low === undefined) return undefined;
  const high = context.readLinear(address + 8n, 8, MEMORY_ACCESS.system);
  if (high === undefined) return undefined;
  const rights = Number((low >> 40n) & 0xffn);
  const type = rights & 0x1f;
  const gate = type === SYSTEM_TYPE.interruptGate32 || type === SYSTEM_TYPE.trapGate32;
  if (!gate || (event.kind === 'software' && ((rights >> 5) & 3) < state.cpl)) {
    raise(state, VECTOR.gp, idtError(event));
    return undefined;
  }
  if ((rights & 0x80) === 0) {
    raise(state, VECTOR.np, idtError(event));
    return undefined;
  }
  return { low, offset: (low & 0xffffn) | ((low >> 32n) & 0xffff_0000n) | ((high & 0xffff_ffffn) << 32n) };
}

/** Enters the handler; on `false` the fault fields are set and no register changed. */
export function enterLong(context: CpuContext, event: Event): boolean {
  const { state } = context;
  const gate = readGate(context, event);
  if (gate === undefined) return false;
  const selector = Number((gate.low >> 16n) & 0xffffn);
  const code = readCode(context, selector, event.ext);
  if (code === undefined) return false;
  const level = isConforming(code) ? state.cpl : dplOf(code);
  const inner = level < state.cpl;
  const ist = Number((gate.low >> 32n) & 7n);
  let pointer: bigint | undefined = state.gpr[GPR.rsp];
  if (ist !== 0) pointer = readInterruptStack(context, ist, event.ext);
  else if (inner) pointer = readLongStack(context, level, event.ext);
  if (pointer === undefined) return false;
  if (!isCanonical(gate.offset)) return raise(state, VECTOR.gp, event.ext);
  if (!isCanonical(pointer)) return raise(state, VECTOR.ss, event.ext);

  const stack = longStack(pointer & ~15n, inner);
  const { segmentSelector } = state;
  const ok =
    pushAll(context, stack, 8, segmentSelector[SEGMENT.ss], state.gpr[GPR.rsp], flagsImage(state, event)) &&
    pushAll(context, stack, 8, segmentSelector[SEGMENT.cs], event.returnIp) &&
    (event.error === undefined || pushAll(context, stack, 8, event.error)) &&
    markAccessed(context, code);
  if (!ok) return false;

  if (inner) setNull(state, SEGMENT.ss, level);
  setFromDescriptor(state, SEGMENT.cs, (selector & 0xfffc) | level, code);
  state.cpl = level;
  state.gpr[GPR.rsp] = stack.pointer;
  state.rip = gate.offset;
  const trap = (gate.low & (1n << 40n)) !== 0n;
  state.eflags &= ~(HANDLER_CLEARS | (trap ? 0 : EFLAGS.if));
  return true;
}

/** The handler's code segment: 64-bit, at this or an inner level. */
function readCode(context: CpuContext, selector: number, ext: 0 | 1) {
  const { state } = context;
  if (isNull(selector)) {
    raise(state, VECTOR.gp, ext);
    return undefined;
  }
  const code = readDescriptor(context, selector, VECTOR.gp, ext);
  if (code === undefined) return undefined;
  if (!isCode(code) || dplOf(code) > state.cpl || !isLongCode(code)) {
    raise(state, VECTOR.gp, selectorError(selector, ext));
    return undefined;
  }
  if (!isPresent(code)) {
    raise(state, VECTOR.np, selectorError(selector, ext));
    return undefined;
  }
  return code;
}
