/** What a machine gives to each of its vCPUs. */
import type { ApicHooks, CpuClock, CpuTopology } from '../../cpu/context.ts';

export interface PortBus {
  read(port: number, size: 1 | 2 | 4): number;
  write(port: number, size: 1 | 2 | 4, value: number): void;
}

export interface MemoryBus {
  /** `address` is guest-physical, below 2^53. */
  read(address: number, size: 1 | 2 | 4): number;
  write(address: number, size: 1 | 2 | 4, value: number): void;
}

/** Interrupts as one vCPU sees them. */
export interface InterruptSource {
  /** Whether an interrupt waits that the task priority lets through. */
  pending(): boolean;
  /** The vector of the waiting interrupt, which counts as taken; -1 where it went away. */
  acknowledge(): number;
}

export interface VcpuEnvironment {
  readonly topology: CpuTopology;
  readonly ports: PortBus;
  readonly mmio: MemoryBus;
  readonly interrupts: InterruptSource;
  readonly apic: ApicHooks;
  readonly clock: CpuClock;
  /**
   * Where other threads reach guest memory while this vCPU runs: runs `work` once while no other vCPU of the machine runs
   * guest code and no device reaches guest memory, and returns then. Absent: there are no such threads, and locked
   * instructions and fences do without WebAssembly's atomics.
   *
   * The vCPU calls it between instructions, with all of its state in the state block, so that it may be made to wait there
   * as at any safepoint: what others do to the machine meanwhile, its memory map and this vCPU's TLB included, is seen by
   * `work`. `work` runs one instruction, which may read and write devices; it does not throw, wait or call `exclusively`.
   */
  readonly exclusively?: ((work: () => void) => void) | undefined;
  /**
   * Where other threads run vCPUs: called at instruction boundaries, it lets others be exclusive. `false`: the machine is to
   * stand still, so the run comes back.
   */
  readonly pass?: (() => boolean) | undefined;
  /**
   * Where other threads run vCPUs: runs `work`, which touches nothing that they share but reads RAM, while any of them may be
   * exclusive. What is to be done with guest memory in the midst of it is done `within`.
   */
  readonly aside?: (<T>(work: () => T) => T) | undefined;
  readonly within?: (<T>(work: () => T) => T) | undefined;
  random(): bigint;
  hypercall(number: bigint, args: readonly bigint[]): bigint;
  /** Says what the guest did that is unknown or malformed. */
  log(message: string): void;
  /** Called on every exception that is delivered, where somebody wants to know. */
  readonly onException?: ((vector: number, error: number | undefined) => void) | undefined;
}
