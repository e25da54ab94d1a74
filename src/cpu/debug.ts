/** Debug registers: breakpoints, single-step and what they leave in DR6 (SDM vol. 3B chapter 17). */
import { CR4, EFLAGS, type VcpuState, VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';

/** Bits of DR6. */
export const DR6 = {
  /** Breakpoints 0–3. */
  breakpoints: 0xf,
  /** Access to a debug register while DR7.GD was set. */
  bd: 1 << 13,
  /** Single-step. */
  bs: 1 << 14,
  /** Task switch to a TSS with T set. */
  bt: 1 << 15,
} as const;

/** Bits of DR6 that read as one. */
const DR6_FIXED = 0xffff_0ff0;
const DR6_WRITABLE = DR6.breakpoints | DR6.bd | DR6.bs | DR6.bt;
const DR7_FIXED = 1 << 10;
/** LE, GE, L/G 0–3, GD and the R/W and LEN fields. */
const DR7_WRITABLE = 0xffff_23ff;
const DR7_GD = 1 << 13;

export const DR6_RESET = BigInt(DR6_FIXED);
export const DR7_RESET = BigInt(DR7_FIXED);

/** R/W field of a breakpoint in DR7. */
const CONDITION = { execute: 0, write: 1, io: 2, readWrite: 3 } as const;

const enabled = (dr7: number, index: number): boolean => ((dr7 >>> (index * 2)) & 3) !== 0;
const condition = (dr7: number, index: number): number => (dr7 >>> (16 + index * 4)) & 3;
/** Bytes that a breakpoint covers, from its LEN field. */
const extent = (dr7: number, index: number): number => [1, 2, 8, 4][(dr7 >>> (18 + index * 4)) & 3];

/**
 * The register that MOV DRn means: DR4 and DR5 are DR6 and DR7, or #UD with CR4.DE. Raises #DB for an access while
 * DR7.GD is set. `undefined` after a fault.
 */
function resolve(context: CpuContext, index: number): number | undefined {
  const { state } = context;
  if (index > 7 || ((index === 4 || index === 5) && (Number(state.cr4) & CR4.de) !== 0)) {
    raise(state, VECTOR.ud);
    return undefined;
  }
  if ((Number(state.dr[7]) & DR7_GD) !== 0) {
    state.dr[6] |= BigInt(DR6.bd);
    raise(state, VECTOR.db);
    return undefined;
  }
  return index === 4 || index === 5 ? index + 2 : index;
}

/** MOV from DRn, CPL already checked; `undefined` after a fault. */
export function readDebugRegister(context: CpuContext, index: number): bigint | undefined {
  const register = resolve(context, index);
  return register === undefined ? undefined : context.state.dr[register];
}

/** MOV to DRn, CPL already checked. */
export function writeDebugRegister(context: CpuContext, index: number, value: bigint): boolean {
  const register = resolve(context, index);
  if (register === undefined) return false;
  const { state } = context;
  if (register >= 6 && value >> 32n !== 0n) return raise(state, VECTOR.gp, 0);
  if (register === 6) state.dr[6] = (value & BigInt(DR6_WRITABLE)) | BigInt(DR6_FIXED);
  else if (register === 7) state.dr[7] = (value & BigInt(DR7_WRITABLE)) | BigInt(DR7_FIXED);
  else state.dr[register] = value;
  if (register === 7) context.modeChanged();
  return true;
}

/** The handler of #DB starts with DR7.GD clear. */
export function clearGeneralDetect(state: VcpuState): void {
  state.dr[7] &= ~BigInt(DR7_GD);
}

/** A task switch clears the local breakpoint enables; one to a TSS with T set traps before the first instruction. */
export function clearLocalBreakpoints(state: VcpuState): void {
  state.dr[7] &= ~0x155n;
}

export function breakOnTaskSwitch(state: VcpuState): void {
  state.debugPending |= DR6.bt;
}

/** Before an instruction that begins with TF set. The delivery of an event takes it back: handlers run without TF. */
export function beginStep(state: VcpuState): void {
  state.debugPending |= DR6.bs;
}

export function cancelStep(state: VcpuState): void {
  state.debugPending &= ~DR6.bs;
}

/** After the instruction: whether its single-step trap is due, which is forgotten. */
export function endStep(state: VcpuState): boolean {
  const due = (state.debugPending & DR6.bs) !== 0;
  cancelStep(state);
  return due;
}

/**
 * Instruction breakpoints at linear address `address`, as bits of DR6; 0 while RF is set. To be asked before an
 * instruction; on a match `raiseDebug` is due, a fault.
 */
export function instructionBreakpoints(state: VcpuState, address: bigint): number {
  const dr7 = Number(state.dr[7]);
  if ((dr7 & 0xff) === 0 || (state.eflags & EFLAGS.rf) !== 0) return 0;
  let hits = 0;
  for (let index = 0; index < 4; index++) {
    if (enabled(dr7, index) && condition(dr7, index) === CONDITION.execute && state.dr[index] === address) {
      hits |= 1 << index;
    }
  }
  return hits;
}

/** Whether an access of `bytes` bytes at `address` touches a breakpoint's bytes, which are aligned to their extent. */
function touches(state: VcpuState, dr7: number, index: number, address: bigint, bytes: number): boolean {
  const length = BigInt(extent(dr7, index));
  const start = state.dr[index] & ~(length - 1n);
  return address < start + length && start < address + BigInt(bytes);
}

/** Data breakpoints that an access meets, as bits of DR6, to be added to `state.debugPending`: a trap. */
export function dataBreakpoints(state: VcpuState, address: bigint, bytes: number, write: boolean): number {
  const dr7 = Number(state.dr[7]);
  if ((dr7 & 0xff) === 0) return 0;
  let hits = 0;
  for (let index = 0; index < 4; index++) {
    const kind = condition(dr7, index);
    const wanted = kind === CONDITION.readWrite || (kind === CONDITION.write && write);
    if (wanted && enabled(dr7, index) && touches(state, dr7, index, address, bytes)) hits |= 1 << index;
  }
  return hits;
}

/** Whether any breakpoint on data is enabled: the engine then has to look at every access. */
export function watchesData(state: VcpuState): boolean {
  const dr7 = Number(state.dr[7]);
  return [0, 1, 2, 3].some((index) => enabled(dr7, index) && (condition(dr7, index) & 1) !== 0);
}

/** I/O breakpoints that an access to ports meets, as bits of DR6; they exist only with CR4.DE. */
export function ioBreakpoints(state: VcpuState, port: number, bytes: number): number {
  const dr7 = Number(state.dr[7]);
  if ((dr7 & 0xff) === 0 || (Number(state.cr4) & CR4.de) === 0) return 0;
  let hits = 0;
  for (let index = 0; index < 4; index++) {
    const wanted = enabled(dr7, index) && condition(dr7, index) === CONDITION.io;
    if (wanted && touches(state, dr7, index, BigInt(port), bytes)) hits |= 1 << index;
  }
  return hits;
}

/** Notes debug conditions in DR6 for the #DB that the caller delivers next. */
export function noteDebug(state: VcpuState, bits: number): void {
  state.dr[6] = (state.dr[6] & ~BigInt(DR6.breakpoints)) | BigInt(bits) | BigInt(DR6_FIXED);
}

/**
 * The trap due after an instruction, as bits of DR6, and forgets it: data and I/O breakpoints, task switches, and
 * single-step where TF was set when the instruction began. 0 where a load of SS holds it back.
 */
export function takeDebugTrap(state: VcpuState, steppedBefore: boolean): number {
  if (state.interruptShadow === 2) {
    // Breakpoints met by the load of SS wait for the next boundary; its single-step trap is lost.
    return 0;
  }
  const bits = state.debugPending | (steppedBefore ? DR6.bs : 0);
  state.debugPending = 0;
  return bits;
}
