/** Call gates: their checks, and the call through one to an inner privilege level (SDM vol. 3A 5.8.3–5.8.5). */
import { GPR, SEGMENT, VECTOR } from '../isa/state.ts';
import { isCanonical } from './address.ts';
import { type AccessSize, type CpuContext, raise } from './context.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isLongCode,
  isNull,
  isPresent,
  limitOf,
  markAccessed,
  readDescriptor,
  readUpperHalf,
  selectorError,
} from './descriptor.ts';
import { openInnerStack } from './inner-stack.ts';
import { isLong } from './mode.ts';
import { setFromDescriptor, setNull } from './segmentation.ts';
import { currentStack, longStack, peek, pushAll, type Stack, setStackPointer } from './stack.ts';
import { readLongStack } from './tss.ts';

/** Where a call gate leads, all checked. */
interface GateTarget {
  readonly code: Descriptor;
  readonly selector: number;
  readonly offset: bigint;
  /** Bytes of what it pushes. */
  readonly width: 2 | 4 | 8;
  readonly parameters: number;
}

/** Reads and checks a call gate and the code segment behind it; a JMP cannot change the privilege level. */
export function readCallGate(context: CpuContext, gate: Descriptor, isJump: boolean): GateTarget | undefined {
  const { state } = context;
  const fail = (vector: number, error: number) => {
    raise(state, vector, error);
    return undefined;
  };
  const error = selectorError(gate.selector);
  if (dplOf(gate) < state.cpl || dplOf(gate) < (gate.selector & 3)) return fail(VECTOR.gp, error);
  if (!isPresent(gate)) return fail(VECTOR.np, error);
  const long = isLong(state);
  const upper = long ? readUpperHalf(context, gate, VECTOR.gp) : 0n;
  if (upper === undefined) return undefined;
  const wide = (gate.high & 0x800) !== 0;
  const offset = wide ? ((gate.high & 0xffff0000) | (gate.low & 0xffff)) >>> 0 : gate.low & 0xffff;

  const selector = gate.low >>> 16;
  if (isNull(selector)) return fail(VECTOR.gp, 0);
  const code = readDescriptor(context, selector, VECTOR.gp);
  if (code === undefined) return undefined;
  const mayEnter = isJump && !isConforming(code) ? dplOf(code) === state.cpl : dplOf(code) <= state.cpl;
  if (!isCode(code) || !mayEnter || (long && !isLongCode(code))) return fail(VECTOR.gp, selectorError(selector));
  if (!isPresent(code)) return fail(VECTOR.np, selectorError(selector));
  const target = (upper << 32n) | BigInt(offset);
  if (long ? !isCanonical(target) : offset > limitOf(code)) return fail(VECTOR.gp, 0);
  return { code, selector, offset: target, width: long ? 8 : wide ? 4 : 2, parameters: gate.high & 31 };
}

/** JMP through a call gate. */
export function jumpGate(context: CpuContext, gate: Descriptor): boolean {
  const target = readCallGate(context, gate, true);
  if (target === undefined || !markAccessed(context, target.code)) return false;
  enterCode(context, target, context.state.cpl);
  return true;
}

function enterCode(context: CpuContext, target: GateTarget, level: number): void {
  const { state } = context;
  setFromDescriptor(state, SEGMENT.cs, (target.selector & 0xfffc) | level, target.code);
  state.cpl = level;
  state.rip = target.offset;
  context.modeChanged();
}

/** CALL through a call gate; returns to `nextIp`. */
export function callGate(context: CpuContext, gate: Descriptor, nextIp: bigint): boolean {
  const { state } = context;
  const target = readCallGate(context, gate, false);
  if (target === undefined) return false;
  const level = isConforming(target.code) ? state.cpl : dplOf(target.code);
  if (level < state.cpl) return callInner(context, target, level, nextIp);
  const stack = isLong(state) ? longStack(state.gpr[GPR.rsp], false) : currentStack(state);
  if (!pushAll(context, stack, target.width, state.segmentSelector[SEGMENT.cs], nextIp)) return false;
  if (!markAccessed(context, target.code)) return false;
  setStackPointer(state, stack.size, stack.pointer);
  enterCode(context, target, level);
  return true;
}

function callInner(context: CpuContext, target: GateTarget, level: number, nextIp: bigint): boolean {
  const { state } = context;
  const long = isLong(state);
  const opened = long ? openLongStack(context, level) : openInnerStack(context, level, 0);
  if (opened === undefined) return false;
  const { stack, descriptor } = opened;
  const ok =
    pushAll(context, stack, target.width, state.segmentSelector[SEGMENT.ss], state.gpr[GPR.rsp]) &&
    (long || copyParameters(context, stack, target.parameters, target.width)) &&
    pushAll(context, stack, target.width, state.segmentSelector[SEGMENT.cs], nextIp) &&
    markAccessed(context, target.code);
  if (!ok) return false;
  if (descriptor === undefined) setNull(state, SEGMENT.ss, level);
  else setFromDescriptor(state, SEGMENT.ss, descriptor.selector, descriptor);
  setStackPointer(state, stack.size, stack.pointer);
  enterCode(context, target, level);
  return true;
}

function openLongStack(context: CpuContext, level: number): { stack: Stack; descriptor?: Descriptor } | undefined {
  const pointer = readLongStack(context, level, 0);
  if (pointer === undefined) return undefined;
  if (!isCanonical(pointer)) {
    raise(context.state, VECTOR.ss, 0);
    return undefined;
  }
  return { stack: longStack(pointer, true) };
}

/** Copies parameters from the caller's stack, which is still the current one, in their order. */
function copyParameters(context: CpuContext, stack: Stack, count: number, width: AccessSize): boolean {
  for (let index = count - 1; index >= 0; index--) {
    const value = peek(context, index * width, width);
    if (value === undefined || !pushAll(context, stack, width, value)) return false;
  }
  return true;
}
