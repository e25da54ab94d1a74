/** What a debugger needs of a machine. The protocol works on this; the run loop implements it. */
import type { VcpuState } from '../../isa/state.ts';

export interface DebugVcpu {
  /** Registers; to be read and written only while the machine stands still. */
  readonly state: VcpuState;
  /**
   * To be called after registers were written: whatever was derived from them (mode, TLB in use, jump cache) is looked
   * up anew.
   */
  registersChanged(): void;
  /** Guest-physical address of a linear one through this vCPU's page tables, or `undefined` if it is not mapped. */
  translate(linear: bigint): number | undefined;
  /**
   * Up to `length` bytes of RAM at a linear address, fewer where the rest is not mapped or no RAM. Rights are those of
   * a supervisor that nothing is closed to; no fault is raised and no bit of a page table changes.
   */
  readMemory(linear: bigint, length: number): Uint8Array;
  /** Writes RAM likewise, read-only pages too, and drops code decoded from it. `false`: nothing was written. */
  writeMemory(linear: bigint, bytes: Uint8Array): boolean;
}

export type WatchKind = 'write' | 'read' | 'access';

export interface Watchpoint {
  readonly kind: WatchKind;
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

/** Why the machine stands still without having been asked to by `stop`. */
export type StopEvent =
  /** The vCPU is about to execute an instruction at a breakpoint. */
  | { readonly reason: 'breakpoint'; readonly vcpu: DebugVcpu }
  /** The vCPU has executed the access. */
  | { readonly reason: 'watchpoint'; readonly vcpu: DebugVcpu; readonly kind: WatchKind; readonly address: bigint }
  /** The step that was asked for is done. */
  | { readonly reason: 'step'; readonly vcpu: DebugVcpu }
  /** A triple fault shut the vCPU down; a reset would follow. */
  | { readonly reason: 'shutdown'; readonly vcpu: DebugVcpu }
  /** The guest is at its end, with this exit status (0–255). */
  | { readonly reason: 'ended'; readonly status: number };

export interface StepOptions {
  /**
   * Whether an interrupt that waits is delivered before the instruction. If not, a step goes on in the code that is
   * looked at, not in a timer's handler. A halted vCPU takes interrupts all the same: the step lasts until one arrives
   * and ends before the first instruction of its handler.
   */
  readonly interrupts: boolean;
}

export interface DebugTarget {
  readonly vcpus: readonly DebugVcpu[];
  /**
   * Resolves when every vCPU stands at an instruction boundary with all its registers in its state block; at once if
   * they do already. Machine time stands still too. Ends a step that is under way. Calls no stop listener by itself,
   * but an event that came first may still be told before it resolves.
   */
  stop(): Promise<void>;
  /** Lets every vCPU run. One whose next instruction is at a breakpoint stops again at once. */
  resume(): void;
  /** Executes one instruction on `vcpu`, whether or not a breakpoint is there; the others stand still. */
  step(vcpu: DebugVcpu, options: StepOptions): void;
  /** Replaces the set of linear addresses before whose instructions every vCPU stops. Guest memory stays as it is. */
  setBreakpoints(addresses: ReadonlySet<bigint>): void;
  /** Replaces the set of watchpoints; `false` if it asks for more than there is. Left out: there are none. */
  setWatchpoints?(watchpoints: readonly Watchpoint[]): boolean;
  /**
   * Calls `listener` once the machine stands still for a reason of its own: once after each `resume` or `step` that no
   * `stop` ended, from a later turn of the event loop than the call. Returns what takes the listener off.
   */
  onStop(listener: (event: StopEvent) => void): () => void;
  /** Resets the machine as its reset button would; it stands still before the first instruction. */
  reset(): void | Promise<void>;
  /** Ends the machine. */
  kill(): void;
}
