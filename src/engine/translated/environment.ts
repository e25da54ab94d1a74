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

/** What binds the threads of a machine that has one for each vCPU. */
export interface VcpuThreads {
  /**
   * To be called at an instruction boundary: lets others be exclusive. `false`: the machine is to stand still, so the run
   * comes back.
   */
  pass(): boolean;
  /** As `MapEvents.exclusively`. */
  exclusively(work: () => void): void;
}

export interface VcpuEnvironment {
  readonly topology: CpuTopology;
  /** Absent where one thread runs all vCPUs. */
  readonly threads?: VcpuThreads | undefined;
  readonly ports: PortBus;
  readonly mmio: MemoryBus;
  readonly interrupts: InterruptSource;
  readonly apic: ApicHooks;
  readonly clock: CpuClock;
  random(): bigint;
  hypercall(number: bigint, args: readonly bigint[]): bigint;
  /** Says what the guest did that is unknown or malformed. */
  log(message: string): void;
  /** Called on every exception that is delivered, where somebody wants to know. */
  readonly onException?: ((vector: number, error: number | undefined) => void) | undefined;
}
