/**
 * What the system level of the processor works on: the state block, and the outside world handed in by the engine.
 * A fault is a value: it stands in the fault fields of the state block, and the function that met it returns `false` or
 * `undefined`.
 */
import { NO_FAULT, type VcpuState } from '../isa/state.ts';

export type AccessSize = 1 | 2 | 4 | 8;

/**
 * What a flush of the TLB takes away (SDM vol. 3A 4.10.4):
 *
 * - `all`: everything, global translations and other PCIDs too
 * - `non-global`: everything but global translations, of all PCIDs
 * - `pcid`: non-global translations of `pcid`
 * - `page`: translations of `address`: global ones, and those of `pcid`
 * - `pcid-page`: non-global translations of `address` in `pcid`
 */
export type TlbFlush = 'all' | 'non-global' | 'pcid' | 'page' | 'pcid-page';

/** MSRs and the task priority that the local APIC keeps; `devices/local-apic` has this shape. */
export interface ApicHooks {
  /** IA32_APIC_BASE, IA32_TSC_DEADLINE and 0x800–0x8ff; `undefined` raises #GP. */
  readMsr(index: number): bigint | undefined;
  /** `false` raises #GP and changes nothing. */
  writeMsr(index: number, value: bigint): boolean;
  /** Bits 7:4 of the task priority. */
  cr8(): number;
  /** `value` is 0–15. */
  setCr8(value: number): void;
  /** Whether IA32_APIC_BASE enables it: CPUID.1:EDX[9] follows. */
  enabled(): boolean;
  /** To be called after the TSC was set: the TSC deadline now lies elsewhere. */
  tscChanged(): void;
}

export interface CpuClock {
  /** Machine time in whole ticks of the TSC, below 2^53, never decreasing; the TSC is this plus `state.tscOffset`. */
  ticks(): number;
  /** Ticks a second. */
  readonly frequency: number;
  /** Machine time (ns) at which `ticks()` was, or will be, `ticks`. */
  ticksToNs(ticks: bigint): bigint;
  /** The date at machine time 0, in nanoseconds since 1970. */
  readonly epochNs: bigint;
}

/** Where this vCPU stands among those of its machine. */
export interface CpuTopology {
  /** Initial APIC id, which is also the number of the vCPU. */
  readonly apicId: number;
  /** Number of vCPUs, each one core of one package. */
  readonly count: number;
}

export interface CpuContext {
  readonly state: VcpuState;
  readonly topology: CpuTopology;

  /**
   * Reads `size` bytes, little-endian, at a linear address with the rights of the current privilege level, or of a
   * supervisor with `MEMORY_ACCESS.system`. `undefined`: the fault fields say why.
   */
  readLinear(address: bigint, size: AccessSize, flags: number): bigint | undefined;
  /** Writes the low `size` bytes of `value`. `false`: the fault fields say why, and nothing was written. */
  writeLinear(address: bigint, size: AccessSize, value: bigint, flags: number): boolean;
  /**
   * Writes `value` where the byte is `expected`, atomically. Whether it was; `undefined`: the fault fields say why, and nothing
   * was written.
   */
  compareExchangeByte(address: bigint, expected: number, value: number, flags: number): boolean | undefined;
  /** Whether `size` (1–4096) bytes can be written; after `true`, writes to them do not fault. */
  probeWrite(address: bigint, size: number, flags: number): boolean;
  /** Guest-physical memory, for PAE page-directory pointers and paravirtual structures; no fault: absent reads as ones. */
  readPhysical(address: bigint, size: AccessSize): bigint;
  writePhysical(address: bigint, size: AccessSize, value: bigint): void;

  readPort(port: number, size: 1 | 2 | 4): number;
  writePort(port: number, size: 1 | 2 | 4, value: number): void;

  readonly apic: ApicHooks;
  readonly clock: CpuClock;
  /** 64 random bits. */
  random(): bigint;
  /** KVM hypercall `number` with up to four arguments; the result goes to RAX (negative errors as two's complement). */
  hypercall(number: bigint, args: readonly bigint[]): bigint;

  flushTlb(kind: TlbFlush, address?: bigint, pcid?: number): void;
  /**
   * Something changed that selects how code is decoded or memory is reached: segment registers, CPL, CR0, CR3 (another
   * PCID), CR4, EFER, EFLAGS.TF/AC/VM, DR7. `modeKey(state)` and the TLB in use are to be looked up anew.
   */
  modeChanged(): void;
  /** A serialising instruction: code that other vCPUs have changed is as they left it from here on (SDM vol. 3A 9.1.3). */
  serialize?(): void;
  /** An interrupt may have become deliverable, or the vCPU stopped running: the engine looks after this instruction. */
  signal(): void;
  /** Whether an interrupt would be taken with IF set; where absent, the engine is made to look whenever IF rises. */
  interruptWaits?(): boolean;
  /** Says that a guest did something unknown; the engine shows it once under `--debug-log`. */
  log(message: string): void;
}

/** Sets the fault fields; the instruction has no effect. Returns `false` so that callers can pass it on. */
export function raise(state: VcpuState, vector: number, error?: number): false {
  state.faultVector = vector;
  state.faultHasError = error === undefined ? 0 : 1;
  state.faultError = error ?? 0;
  return false;
}

export function hasFault(state: VcpuState): boolean {
  return state.faultVector !== NO_FAULT;
}
