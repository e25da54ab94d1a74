/** Everything that selects how code is decoded and which checks its accesses need, packed into one number. */
import { CR0, CR4, EFER, EFLAGS, SEGMENT, type VcpuState } from '../isa/state.ts';

/** Bits of segment attributes as the state block keeps them. */
export const ATTRIBUTE = {
  type: 0xf,
  accessed: 1 << 0,
  /** Data: writable. Code: readable. */
  writable: 1 << 1,
  readable: 1 << 1,
  /** Data: expand-down. Code: conforming. */
  expandDown: 1 << 2,
  conforming: 1 << 2,
  code: 1 << 3,
  /** Code or data, not a system segment. */
  segment: 1 << 4,
  dplShift: 5,
  present: 1 << 7,
  long: 1 << 13,
  /** D of code, B of stacks. */
  big: 1 << 14,
  granular: 1 << 15,
  unusable: 1 << 16,
} as const;

/**
 * Places in a mode key:
 *
 * | bits | meaning |
 * |---|---|
 * | 0–1 | code size: 0, 1, 2 for 16, 32, 64 bits |
 * | 2–3 | stack size, likewise |
 * | 4–5 | CPL |
 * | 6 | protected mode proper (long mode included) |
 * | 7 | virtual-8086 mode |
 * | 8–13 | ES, CS, SS, DS, FS, GS flat |
 * | 14–17 | CR0.EM, CR0.TS, CR0.MP, CR4.OSFXSR |
 * | 18 | each instruction is followed by a look at debug conditions: TF, RF, a breakpoint in DR7, a trap that waits |
 * | 19 | misaligned accesses raise #AC |
 */
export const MODE = {
  codeShift: 0,
  stackShift: 2,
  cplShift: 4,
  protected: 1 << 6,
  v86: 1 << 7,
  flatShift: 8,
  emulation: 1 << 14,
  taskSwitched: 1 << 15,
  monitor: 1 << 16,
  osfxsr: 1 << 17,
  debug: 1 << 18,
  alignment: 1 << 19,
} as const;

const FLAT_ALL = 0x3f << MODE.flatShift;

/** Protected mode proper: neither real nor virtual-8086 mode. */
export function isProtected(state: VcpuState): boolean {
  return (Number(state.cr0) & CR0.pe) !== 0 && (state.eflags & EFLAGS.vm) === 0;
}

export function isV86(state: VcpuState): boolean {
  return (state.eflags & EFLAGS.vm) !== 0;
}

/** IA-32e mode: 64-bit or compatibility. */
export function isLong(state: VcpuState): boolean {
  return (Number(state.efer) & EFER.lma) !== 0;
}

export function is64Bit(state: VcpuState): boolean {
  return isLong(state) && (state.segmentAttributes[SEGMENT.cs] & ATTRIBUTE.long) !== 0;
}

/** Bytes of the instruction pointer. */
export function codeSize(state: VcpuState): 2 | 4 | 8 {
  if (is64Bit(state)) return 8;
  return (state.segmentAttributes[SEGMENT.cs] & ATTRIBUTE.big) !== 0 ? 4 : 2;
}

/** Bytes of the stack pointer. */
export function stackSize(state: VcpuState): 2 | 4 | 8 {
  if (is64Bit(state)) return 8;
  return (state.segmentAttributes[SEGMENT.ss] & ATTRIBUTE.big) !== 0 ? 4 : 2;
}

/**
 * Whether accesses through a segment need no check: usable, present, 4 GiB from offset 0, and for data what it is used
 * for (ES, SS, DS, FS, GS writable data; CS readable).
 */
function isFlat(attributes: number, limit: number, segment: number): boolean {
  if (limit !== 0xffff_ffff || (attributes & (ATTRIBUTE.unusable | ATTRIBUTE.present)) !== ATTRIBUTE.present)
    return false;
  if ((attributes & ATTRIBUTE.code) !== 0) return segment === SEGMENT.cs && (attributes & ATTRIBUTE.readable) !== 0;
  // Real mode and what follows it run code from segments that the attributes call data.
  return (attributes & (ATTRIBUTE.writable | ATTRIBUTE.expandDown)) === ATTRIBUTE.writable;
}

/** The key of the mode that the processor is in; see `MODE`. */
export function modeKey(state: VcpuState): number {
  const cr0 = Number(state.cr0);
  const { eflags, segmentAttributes, segmentLimit } = state;
  const long = (Number(state.efer) & EFER.lma) !== 0;
  const csAttributes = segmentAttributes[SEGMENT.cs];
  let key = state.cpl << MODE.cplShift;
  if (long && (csAttributes & ATTRIBUTE.long) !== 0) {
    key |= (2 << MODE.codeShift) | (2 << MODE.stackShift) | FLAT_ALL;
  } else {
    if ((csAttributes & ATTRIBUTE.big) !== 0) key |= 1 << MODE.codeShift;
    if ((segmentAttributes[SEGMENT.ss] & ATTRIBUTE.big) !== 0) key |= 1 << MODE.stackShift;
    for (let segment = 0; segment < 6; segment++) {
      if (isFlat(segmentAttributes[segment], segmentLimit[segment], segment)) key |= 1 << (MODE.flatShift + segment);
    }
  }
  if ((cr0 & CR0.pe) !== 0) key |= (eflags & EFLAGS.vm) !== 0 ? MODE.v86 : MODE.protected;
  if ((cr0 & CR0.em) !== 0) key |= MODE.emulation;
  if ((cr0 & CR0.ts) !== 0) key |= MODE.taskSwitched;
  if ((cr0 & CR0.mp) !== 0) key |= MODE.monitor;
  if ((Number(state.cr4) & CR4.osfxsr) !== 0) key |= MODE.osfxsr;
  if ((eflags & (EFLAGS.tf | EFLAGS.rf)) !== 0 || (Number(state.dr[7]) & 0xff) !== 0 || state.debugPending !== 0)
    key |= MODE.debug;
  if ((eflags & EFLAGS.ac) !== 0 && (cr0 & CR0.am) !== 0 && state.cpl === 3) key |= MODE.alignment;
  return key;
}

const SIZES = [2, 4, 8] as const;

/** Bytes of the instruction pointer under a mode key. */
export function keyCodeSize(key: number): 2 | 4 | 8 {
  return SIZES[key & 3] as 2 | 4 | 8;
}

/** Bytes of the stack pointer under a mode key. */
export function keyStackSize(key: number): 2 | 4 | 8 {
  return SIZES[(key >> MODE.stackShift) & 3] as 2 | 4 | 8;
}

export function keyCpl(key: number): number {
  return (key >> MODE.cplShift) & 3;
}

export function keyProtected(key: number): boolean {
  return (key & MODE.protected) !== 0;
}

/** Whether accesses through segment register 0–5 need no check. */
export function keyFlat(key: number, segment: number): boolean {
  return (key & (1 << (MODE.flatShift + segment))) !== 0;
}

/**
 * The exception that an instruction of an execution unit raises whatever its operands (SDM vol. 3A 2.5, table 2-2), or
 * `undefined`: 6 (#UD) or 7 (#NM).
 */
export function keyUnitFault(key: number, unit: 'x87' | 'mmx' | 'sse' | 'fwait'): 6 | 7 | undefined {
  const has = (bit: number) => (key & bit) !== 0;
  switch (unit) {
    case 'x87':
      return has(MODE.emulation) || has(MODE.taskSwitched) ? 7 : undefined;
    case 'fwait':
      return has(MODE.monitor) && has(MODE.taskSwitched) ? 7 : undefined;
    case 'sse':
      if (has(MODE.emulation) || !has(MODE.osfxsr)) return 6;
      return has(MODE.taskSwitched) ? 7 : undefined;
    case 'mmx':
      if (has(MODE.emulation)) return 6;
      return has(MODE.taskSwitched) ? 7 : undefined;
  }
}
