/** Far RET and IRET (SDM vol. 2B RET, vol. 2A IRET). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { EFLAGS, GPR, SEGMENT, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import {
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  markAccessed,
  readDescriptor,
  selectorError,
} from './descriptor.ts';
import { switchFrom, validTarget } from './far-transfer.ts';
import { FLAGS_MASK, iopl, readFlags, writeFlags } from './flags.ts';
import { interruptsMayFollow } from './interrupt-window.ts';
import { is64Bit, isLong, isProtected, isV86, stackSize } from './mode.ts';
import {
  dropInnerSegments,
  readStackDescriptor,
  setFromDescriptor,
  setNull,
  setRealSegment,
  setV86Segment,
} from './segmentation.ts';
import { peek, setStackPointer } from './stack.ts';
import { readTaskSegment } from './task-segment.ts';

type Size = 2 | 4 | 8;

/** Takes `count` values off the top of the stack; the stack pointer stays. */
function peekAll(context: CpuContext, count: number, size: Size, offset = 0): bigint[] | undefined {
  const values: bigint[] = [];
  for (let index = 0; index < count; index++) {
    const value = peek(context, offset + index * size, size);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}

const selectorIn = (value: bigint): number => Number(value & 0xffffn);

/** The code segment that a return goes to, or `undefined` after a fault. */
function readReturnCode(context: CpuContext, selector: number, ip: bigint): Descriptor | undefined {
  const { state } = context;
  const fail = (vector: number, error: number) => {
    raise(state, vector, error);
    return undefined;
  };
  if (isNull(selector)) return fail(VECTOR.gp, 0);
  const d = readDescriptor(context, selector, VECTOR.gp);
  if (d === undefined) return undefined;
  const level = selector & 3;
  const allowed = level >= state.cpl && (isConforming(d) ? dplOf(d) <= level : dplOf(d) === level);
  const bothSizes = isLong(state) && (d.high & 0x600000) === 0x600000;
  if (!isCode(d) || !allowed || bothSizes) return fail(VECTOR.gp, selectorError(selector));
  if (!isPresent(d)) return fail(VECTOR.np, selectorError(selector));
  if (!validTarget(context, d, ip)) return fail(VECTOR.gp, 0);
  return d;
}

/** The stack segment of an outer level; `null` for the null selector that 64-bit code below level 3 may have. */
function readReturnStack(context: CpuContext, selector: number, code: Descriptor): Descriptor | null | undefined {
  const { state } = context;
  const level = code.selector & 3;
  if (!isNull(selector)) return readStackDescriptor(context, selector, level);
  const wide = isLong(state) && (code.high & 0x200000) !== 0;
  if (wide && level !== 3 && (selector & 3) === level) return null;
  raise(state, VECTOR.gp, 0);
  return undefined;
}

/** Loads CS, SS and the level of a return whose checks are done. */
function commitReturn(
  context: CpuContext,
  code: Descriptor,
  ip: bigint,
  stack?: { selector: number; descriptor: Descriptor | null; pointer: bigint },
): void {
  const { state } = context;
  const level = code.selector & 3;
  const outer = level > state.cpl;
  state.cpl = level;
  setFromDescriptor(state, SEGMENT.cs, code.selector, code);
  state.rip = ip;
  if (stack === undefined) return;
  if (stack.descriptor === null) setNull(state, SEGMENT.ss, stack.selector);
  else setFromDescriptor(state, SEGMENT.ss, stack.selector, stack.descriptor);
  setStackPointer(state, stackSize(state), stack.pointer);
  if (outer) dropInnerSegments(state);
}

/** RETF; `release` bytes of parameters go as well. On success `state.rip` is the target. */
export function farReturn(context: CpuContext, size: Size, release: number): boolean {
  const { state } = context;
  const values = peekAll(context, 2, size);
  if (values === undefined) return false;
  const [ip, cs] = values;
  const selector = selectorIn(cs);
  const after = state.gpr[GPR.rsp] + BigInt(2 * size + release);
  if (!isProtected(state)) {
    if (Number(ip) > state.segmentLimit[SEGMENT.cs]) return raise(state, VECTOR.gp, 0);
    setStackPointer(state, stackSize(state), after);
    loadRealCode(context, selector, ip);
    return true;
  }
  const code = readReturnCode(context, selector, ip);
  if (code === undefined) return false;
  if ((selector & 3) === state.cpl) {
    if (!markAccessed(context, code)) return false;
    setStackPointer(state, stackSize(state), after);
    commitReturn(context, code, ip);
  } else if (!returnOuter(context, code, ip, peekAll(context, 2, size, 2 * size + release), release)) {
    return false;
  }
  context.modeChanged();
  return true;
}

/** A return to an outer level with `frame`: its stack pointer and SS. */
function returnOuter(
  context: CpuContext,
  code: Descriptor,
  ip: bigint,
  frame: bigint[] | undefined,
  release: number,
): boolean {
  if (frame === undefined) return false;
  const selector = selectorIn(frame[1]);
  const descriptor = readReturnStack(context, selector, code);
  if (descriptor === undefined || !markAccessed(context, code)) return false;
  commitReturn(context, code, ip, { selector, descriptor, pointer: frame[0] + BigInt(release) });
  return true;
}

function loadRealCode(context: CpuContext, selector: number, ip: bigint): void {
  const { state } = context;
  if (isV86(state)) setV86Segment(state, SEGMENT.cs, selector);
  else setRealSegment(state, SEGMENT.cs, selector);
  state.rip = ip;
  context.modeChanged();
}

/** Flags that IRET may change always, and at level 0; IF goes by IOPL. */
export const returnFlags = {
  always: FLAGS_MASK & ~(EFLAGS.if | EFLAGS.iopl | EFLAGS.vm | EFLAGS.vif | EFLAGS.vip),
  privileged: EFLAGS.iopl | EFLAGS.vif | EFLAGS.vip,
} as const;

/** Replaces flags by an image of `size` bytes as far as privilege level `cpl`, held before the return, may. */
function restoreFlags(context: CpuContext, image: number, size: Size, cpl: number): void {
  const { state } = context;
  let mask: number = returnFlags.always;
  if (cpl === 0) mask |= returnFlags.privileged;
  if (cpl <= iopl(state)) mask |= EFLAGS.if;
  if (size === 2) mask &= 0xffff;
  let flags = (readFlags(state) & ~mask) | (image & mask);
  // RF matters only to instruction breakpoints; without any it would only slow the engine down.
  if ((Number(state.dr[7]) & 0xff) === 0) flags &= ~EFLAGS.rf;
  writeFlags(state, flags);
}

/**
 * IRET, IRETD, IRETQ, as `size` says; on success `state.rip` is the target and NMIs are accepted again. `nextIp` is what
 * a nested task resumes at.
 */
export function interruptReturn(context: CpuContext, size: Size, nextIp: bigint): boolean {
  const { state } = context;
  const { eflags } = state;
  let done: boolean;
  if (!isProtected(state)) done = returnReal(context, size);
  else if ((state.eflags & EFLAGS.nt) === 0) done = returnProtected(context, size);
  else if (isLong(state)) done = raise(state, VECTOR.gp, 0);
  else done = returnTask(context, nextIp);
  if (done) {
    if (state.nmiBlocked !== 0 && state.nmiPending !== 0) state.poll = 1;
    state.nmiBlocked = 0;
    context.modeChanged();
    interruptsMayFollow(context, eflags);
  }
  return done;
}

function returnReal(context: CpuContext, size: Size): boolean {
  const { state } = context;
  const v86 = isV86(state);
  if (v86 && iopl(state) < 3) return raise(state, VECTOR.gp, 0);
  const frame = peekAll(context, 3, size);
  if (frame === undefined) return false;
  const [ip, cs, flags] = frame;
  if (Number(ip) > state.segmentLimit[SEGMENT.cs]) return raise(state, VECTOR.gp, 0);
  setStackPointer(state, stackSize(state), state.gpr[GPR.rsp] + BigInt(3 * size));
  restoreFlags(context, Number(flags), size, v86 ? 3 : 0);
  loadRealCode(context, selectorIn(cs), ip);
  return true;
}

/** Return from a nested task by the back link of its TSS. */
function returnTask(context: CpuContext, nextIp: bigint): boolean {
  const link = context.readLinear(context.state.segmentBase[SEGMENT.tr], 2, MEMORY_ACCESS.system);
  if (link === undefined) return false;
  const tss = readTaskSegment(context, Number(link), 'busy', VECTOR.ts);
  return tss !== undefined && switchFrom(context, tss, 'return', nextIp);
}

function returnProtected(context: CpuContext, size: Size): boolean {
  const { state } = context;
  const wide = is64Bit(state);
  const frame = peekAll(context, wide ? 5 : 3, size);
  if (frame === undefined) return false;
  const [ip, cs, image] = frame;
  const flags = Number(image & 0xffff_ffffn);
  if (size === 4 && (flags & EFLAGS.vm) !== 0 && state.cpl === 0 && !isLong(state)) return returnV86(context, flags);
  const code = readReturnCode(context, selectorIn(cs), ip);
  if (code === undefined) return false;
  const { cpl } = state;
  if (wide || (code.selector & 3) > cpl) {
    if (!returnOuter(context, code, ip, wide ? frame.slice(3) : peekAll(context, 2, size, 3 * size), 0)) return false;
  } else {
    if (!markAccessed(context, code)) return false;
    setStackPointer(state, stackSize(state), state.gpr[GPR.rsp] + BigInt(3 * size));
    commitReturn(context, code, ip);
  }
  restoreFlags(context, flags, size, cpl);
  return true;
}

/** IRETD from level 0 to virtual-8086 mode: ESP, SS, ES, DS, FS, GS follow the flags. */
function returnV86(context: CpuContext, flags: number): boolean {
  const { state } = context;
  const frame = peekAll(context, 9, 4);
  if (frame === undefined) return false;
  if (frame[0] > 0xffffn) return raise(state, VECTOR.gp, 0);
  const [ip, cs, , sp, ss, es, ds, fs, gs] = frame;
  writeFlags(state, flags & FLAGS_MASK);
  const segments = [es, cs, ss, ds, fs, gs];
  segments.forEach((selector, segment) => {
    setV86Segment(state, segment, selectorIn(selector));
  });
  state.cpl = 3;
  state.gpr[GPR.rsp] = sp;
  state.rip = ip;
  return true;
}
