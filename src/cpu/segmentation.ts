/** Segment registers: loads with their checks, and the address calculation of segments that are not flat. */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { EFLAGS, SEGMENT, type VcpuState, VECTOR } from '../isa/state.ts';
import { type AccessSize, type CpuContext, raise } from './context.ts';
import {
  attributesOf,
  baseOf,
  type Descriptor,
  dplOf,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isReadable,
  isSegment,
  isWritableData,
  limitOf,
  markAccessed,
  readDescriptor,
  selectorError,
} from './descriptor.ts';
import { ATTRIBUTE, is64Bit, isProtected } from './mode.ts';

/** Attributes of every segment in virtual-8086 mode: present, DPL 3, writable data. */
const V86_ATTRIBUTES = 0xf3;
/** Attributes of a segment loaded in real mode. */
const REAL_ATTRIBUTES = 0x93;

/** Sets a segment register and its hidden part. */
export function setSegment(
  state: VcpuState,
  segment: number,
  selector: number,
  base: bigint,
  limit: number,
  attributes: number,
): void {
  state.segmentSelector[segment] = selector;
  state.segmentBase[segment] = base;
  state.segmentLimit[segment] = limit;
  state.segmentAttributes[segment] = attributes;
}

/** Sets a segment register from a descriptor that has been checked and marked accessed. */
export function setFromDescriptor(state: VcpuState, segment: number, selector: number, d: Descriptor): void {
  const attributes = attributesOf(d) | (isSegment(d) ? ATTRIBUTE.accessed : 0);
  setSegment(state, segment, selector, BigInt(baseOf(d)), limitOf(d), attributes);
}

/** Makes a segment register null: usable for nothing but SS in 64-bit mode. */
export function setNull(state: VcpuState, segment: number, selector: number): void {
  setSegment(state, segment, selector, 0n, 0, ATTRIBUTE.unusable);
}

/** Real mode: the selector gives the base; limit and size stay, as after a visit to protected mode. */
export function setRealSegment(state: VcpuState, segment: number, selector: number): void {
  const old = state.segmentAttributes[segment];
  if ((old & ATTRIBUTE.unusable) !== 0) state.segmentLimit[segment] = 0xffff;
  state.segmentSelector[segment] = selector;
  state.segmentBase[segment] = BigInt(selector << 4);
  state.segmentAttributes[segment] = REAL_ATTRIBUTES | (old & (ATTRIBUTE.big | ATTRIBUTE.granular));
}

/** Virtual-8086 mode: base from the selector, 64 KiB. */
export function setV86Segment(state: VcpuState, segment: number, selector: number): void {
  setSegment(state, segment, selector, BigInt(selector << 4), 0xffff, V86_ATTRIBUTES);
}

/** A descriptor for SS at privilege level `cpl`; SDM vol. 2B MOV. `vector` is #GP, or #TS in task switches. */
export function readStackDescriptor(
  context: CpuContext,
  selector: number,
  cpl: number,
  vector: number = VECTOR.gp,
  ext = 0,
): Descriptor | undefined {
  const { state } = context;
  const d = readDescriptor(context, selector, vector, ext);
  if (d === undefined) return undefined;
  const error = selectorError(selector, ext);
  if ((selector & 3) !== cpl || dplOf(d) !== cpl || !isWritableData(d)) {
    raise(state, vector, error);
    return undefined;
  }
  if (!isPresent(d)) {
    raise(state, VECTOR.ss, error);
    return undefined;
  }
  return markAccessed(context, d) ? d : undefined;
}

/** A descriptor for DS, ES, FS or GS at the current privilege level. */
export function readDataDescriptor(
  context: CpuContext,
  selector: number,
  vector: number = VECTOR.gp,
  ext = 0,
): Descriptor | undefined {
  const { state } = context;
  const d = readDescriptor(context, selector, vector, ext);
  if (d === undefined) return undefined;
  const error = selectorError(selector, ext);
  const free = isCode(d) && isConforming(d);
  if (!isReadable(d) || (!free && (dplOf(d) < (selector & 3) || dplOf(d) < state.cpl))) {
    raise(state, vector, error);
    return undefined;
  }
  if (!isPresent(d)) {
    raise(state, VECTOR.np, error);
    return undefined;
  }
  return markAccessed(context, d) ? d : undefined;
}

function loadStackSegment(context: CpuContext, selector: number): boolean {
  const { state } = context;
  if (isNull(selector)) {
    if (!is64Bit(state) || state.cpl === 3 || (selector & 3) !== state.cpl) return raise(state, VECTOR.gp, 0);
    setNull(state, SEGMENT.ss, selector);
    return true;
  }
  const d = readStackDescriptor(context, selector, state.cpl);
  if (d === undefined) return false;
  setFromDescriptor(state, SEGMENT.ss, selector, d);
  return true;
}

/**
 * MOV or POP to ES, SS, DS, FS or GS in the current mode. Faults as SDM vol. 2B MOV says; on `false` nothing changed.
 */
export function loadSegment(context: CpuContext, segment: number, selector: number): boolean {
  const { state } = context;
  if (!isProtected(state)) {
    if ((state.eflags & EFLAGS.vm) !== 0) setV86Segment(state, segment, selector);
    else setRealSegment(state, segment, selector);
  } else if (segment === SEGMENT.ss) {
    if (!loadStackSegment(context, selector)) return false;
  } else if (isNull(selector)) {
    setNull(state, segment, selector);
  } else {
    const d = readDataDescriptor(context, selector);
    if (d === undefined) return false;
    setFromDescriptor(state, segment, selector, d);
  }
  context.modeChanged();
  return true;
}

/** Makes null whatever data segments an outer privilege level may not keep (SDM vol. 2A IRET). */
export function dropInnerSegments(state: VcpuState): void {
  for (const segment of [SEGMENT.es, SEGMENT.ds, SEGMENT.fs, SEGMENT.gs]) {
    const attributes = state.segmentAttributes[segment];
    if ((attributes & ATTRIBUTE.unusable) !== 0) continue;
    const conforming =
      (attributes & (ATTRIBUTE.code | ATTRIBUTE.conforming)) === (ATTRIBUTE.code | ATTRIBUTE.conforming);
    if (!conforming && ((attributes >> ATTRIBUTE.dplShift) & 3) < state.cpl) setNull(state, segment, 0);
  }
}

/** Whether `bytes` bytes at `offset` lie within a segment's limit. */
export function withinLimit(attributes: number, limit: number, offset: number, bytes: number): boolean {
  const last = offset + bytes - 1;
  if ((attributes & (ATTRIBUTE.code | ATTRIBUTE.expandDown)) !== ATTRIBUTE.expandDown) return last <= limit;
  return offset > limit && last <= ((attributes & ATTRIBUTE.big) !== 0 ? 0xffff_ffff : 0xffff);
}

function permits(state: VcpuState, attributes: number, write: boolean): boolean {
  if ((attributes & ATTRIBUTE.unusable) !== 0) return false;
  if (!isProtected(state)) return true;
  if ((attributes & ATTRIBUTE.code) !== 0) return !write && (attributes & ATTRIBUTE.readable) !== 0;
  return !write || (attributes & ATTRIBUTE.writable) !== 0;
}

/**
 * The linear address of `bytes` bytes at `offset` (already cut to the address size) in a segment register, after the
 * checks of rights and limit; raises #GP(0), or #SS(0) for SS. SDM vol. 3A 5.3–5.5.
 */
export function segmentLinear(
  state: VcpuState,
  segment: number,
  offset: bigint,
  bytes: number,
  access: 'read' | 'write',
): bigint | undefined {
  if (is64Bit(state)) {
    return segment < SEGMENT.fs ? offset : BigInt.asUintN(64, state.segmentBase[segment] + offset);
  }
  const attributes = state.segmentAttributes[segment];
  const from = Number(offset & 0xffff_ffffn);
  if (
    !permits(state, attributes, access === 'write') ||
    !withinLimit(attributes, state.segmentLimit[segment], from, bytes)
  ) {
    raise(state, segment === SEGMENT.ss ? VECTOR.ss : VECTOR.gp, 0);
    return undefined;
  }
  return (state.segmentBase[segment] + BigInt(from)) & 0xffff_ffffn;
}

/** Reads through a segment register. */
export function readSegment(
  context: CpuContext,
  segment: number,
  offset: bigint,
  size: AccessSize,
): bigint | undefined {
  const linear = segmentLinear(context.state, segment, offset, size, 'read');
  if (linear === undefined) return undefined;
  return context.readLinear(linear, size, segment === SEGMENT.ss ? MEMORY_ACCESS.stack : 0);
}
