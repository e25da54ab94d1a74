/** Hardware task switches (SDM vol. 3A 7.3). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { CR0, CR4, EFLAGS, SEGMENT, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import { breakOnTaskSwitch, clearLocalBreakpoints } from './debug.ts';
import {
  baseOf,
  type Descriptor,
  dplOf,
  exchangeType,
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
  TSS_BUSY,
  typeOf,
} from './descriptor.ts';
import { readFlags, writeFlags } from './flags.ts';
import { loadPageDirectoryPointers } from './page-directory-pointers.ts';
import {
  readDataDescriptor,
  readStackDescriptor,
  setFromDescriptor,
  setNull,
  setSegment,
  setV86Segment,
} from './segmentation.ts';
import { probeTaskImage, readTaskImage, type TaskImage, taskLayout, writeTaskImage } from './task-image.ts';
import { tssType } from './tss.ts';

/** `call` and `interrupt` nest: the new task links back to this one. */
export type SwitchReason = 'jump' | 'call' | 'interrupt' | 'return';

/**
 * - `done`: the new task is the current one; `state.rip` is its instruction pointer
 * - `refused`: a fault of the old task, which is unchanged
 * - `faulted`: the new task is the current one, and a fault met while its segments were loaded is its first event
 */
export type SwitchResult = 'done' | 'refused' | 'faulted';

/**
 * Switches to the task of a TSS descriptor, which the caller has checked for type, privilege and presence. The old
 * task resumes at `nextIp`. `ext` is bit 0 of the error codes.
 */
export function switchTask(
  context: CpuContext,
  tss: Descriptor,
  reason: SwitchReason,
  nextIp: bigint,
  ext = 0,
): SwitchResult {
  const { state } = context;
  const wide = (typeOf(tss) & 8) !== 0;
  if (limitOf(tss) < taskLayout(wide).limit) {
    raise(state, VECTOR.ts, selectorError(tss.selector, ext));
    return 'refused';
  }
  const base = BigInt(baseOf(tss));
  const image = readTaskImage(context, base, wide);
  if (image === undefined) return 'refused';
  if (!leaveTask(context, tss, reason, nextIp, ext)) return 'refused';

  const nested = reason === 'call' || reason === 'interrupt';
  const attributes = ((tss.high >>> 8) & 0xf0ff) | TSS_BUSY;
  setSegment(state, SEGMENT.tr, tss.selector, base, limitOf(tss), attributes);
  state.cr0 |= BigInt(CR0.ts);
  const loaded = enterTask(context, image, nested, ext);
  clearLocalBreakpoints(state);
  if (image.trap) breakOnTaskSwitch(state);
  context.modeChanged();
  return loaded ? 'done' : 'faulted';
}

/** Saves the old task and moves the busy bits; after the first checks nothing faults. */
function leaveTask(context: CpuContext, tss: Descriptor, reason: SwitchReason, nextIp: bigint, ext: number): boolean {
  const { state } = context;
  const oldBase = state.segmentBase[SEGMENT.tr];
  const oldWide = tssType(state) === 9;
  const oldSelector = state.segmentSelector[SEGMENT.tr];
  const newBase = BigInt(baseOf(tss));
  const nested = reason === 'call' || reason === 'interrupt';
  if (!probeTaskImage(context, oldBase, oldWide)) return false;
  if (nested && !context.probeWrite(newBase, 2, MEMORY_ACCESS.system)) return false;
  if (!context.probeWrite(tss.address + 5n, 1, MEMORY_ACCESS.system)) return false;
  const old = nested ? undefined : readDescriptor(context, oldSelector, VECTOR.ts);
  if (!nested && old === undefined) return false;
  if (old !== undefined && !context.probeWrite(old.address + 5n, 1, MEMORY_ACCESS.system)) return false;
  // Another vCPU may have taken the task since its descriptor was read.
  if (reason !== 'return' && exchangeType(context, tss, typeOf(tss) | TSS_BUSY) !== true)
    return raise(state, VECTOR.gp, selectorError(tss.selector, ext));
  if (old !== undefined) exchangeType(context, old, typeOf(old) & ~TSS_BUSY);
  const flags = readFlags(state) & ~(reason === 'return' ? EFLAGS.nt : 0);
  writeTaskImage(context, oldBase, oldWide, nextIp, flags);
  if (nested) context.writeLinear(newBase, 2, BigInt(oldSelector), MEMORY_ACCESS.system);
  return true;
}

function enterTask(context: CpuContext, image: TaskImage, nested: boolean, ext: number): boolean {
  const { state } = context;
  let pointersLoaded = true;
  if (image.cr3 !== undefined && (Number(state.cr0) & CR0.pg) !== 0) {
    state.cr3 = image.cr3;
    if ((Number(state.cr4) & CR4.pae) !== 0) pointersLoaded = loadPageDirectoryPointers(context, image.cr3);
    context.flushTlb('pcid', 0n, 0);
  }
  for (let i = 0; i < 8; i++) state.gpr[i] = image.registers[i];
  state.rip = image.ip;
  writeFlags(state, image.flags | (nested ? EFLAGS.nt : 0));
  for (let i = 0; i < 6; i++) setNull(state, i, image.segments[i]);
  setNull(state, SEGMENT.ldtr, image.ldt);
  const v86 = (state.eflags & EFLAGS.vm) !== 0;
  state.cpl = v86 ? 3 : image.segments[SEGMENT.cs] & 3;
  context.modeChanged();
  if (!pointersLoaded || !loadLocalTable(context, image.ldt, ext)) return false;
  if (v86) {
    image.segments.forEach((selector, segment) => {
      setV86Segment(state, segment, selector);
    });
    return checkIp(context, image.ip, ext);
  }
  return loadCode(context, image.segments[SEGMENT.cs], ext) && loadData(context, image, ext);
}

function loadLocalTable(context: CpuContext, selector: number, ext: number): boolean {
  if (isNull(selector)) return true;
  const error = selectorError(selector, ext);
  if ((selector & 4) !== 0) return raise(context.state, VECTOR.ts, error);
  const d = readDescriptor(context, selector, VECTOR.ts, ext);
  if (d === undefined) return false;
  if (isSegment(d) || typeOf(d) !== SYSTEM_TYPE.ldt || !isPresent(d)) return raise(context.state, VECTOR.ts, error);
  setFromDescriptor(context.state, SEGMENT.ldtr, selector, d);
  return true;
}

function loadCode(context: CpuContext, selector: number, ext: number): boolean {
  const { state } = context;
  const error = selectorError(selector, ext);
  if (isNull(selector)) return raise(state, VECTOR.ts, error);
  const d = readDescriptor(context, selector, VECTOR.ts, ext);
  if (d === undefined) return false;
  const level = isConforming(d) ? dplOf(d) <= state.cpl : dplOf(d) === state.cpl;
  if (!isCode(d) || !level) return raise(state, VECTOR.ts, error);
  if (!isPresent(d)) return raise(state, VECTOR.np, error);
  if (!markAccessed(context, d)) return false;
  setFromDescriptor(state, SEGMENT.cs, selector, d);
  return true;
}

function loadData(context: CpuContext, image: TaskImage, ext: number): boolean {
  const { state } = context;
  const stack = image.segments[SEGMENT.ss];
  if (isNull(stack)) return raise(state, VECTOR.ts, selectorError(stack, ext));
  const ss = readStackDescriptor(context, stack, state.cpl, VECTOR.ts, ext);
  if (ss === undefined) return false;
  setFromDescriptor(state, SEGMENT.ss, stack, ss);
  for (const segment of [SEGMENT.ds, SEGMENT.es, SEGMENT.fs, SEGMENT.gs]) {
    const selector = image.segments[segment];
    if (isNull(selector)) continue;
    const d = readDataDescriptor(context, selector, VECTOR.ts, ext);
    if (d === undefined) return false;
    setFromDescriptor(state, segment, selector, d);
  }
  return checkIp(context, image.ip, ext);
}

function checkIp(context: CpuContext, ip: bigint, ext: number): boolean {
  const { state } = context;
  return Number(ip) <= state.segmentLimit[SEGMENT.cs] || raise(state, VECTOR.gp, ext);
}
