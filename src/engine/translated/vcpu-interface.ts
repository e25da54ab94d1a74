/** What a vCPU of the translating engine is made of, and what it can be told. */
import type { CpuContext } from '../../cpu/context.ts';
import type { CodeLimits } from '../../cpu/translator/code-cache.ts';
import type { CompilerPort } from '../../cpu/translator/compiler.ts';
import type { Sample } from '../../cpu/translator/verified-writer.ts';
import type { VcpuState } from '../../isa/state.ts';
import type { Arena } from '../../memory/arena.ts';
import type { PhysicalMap } from '../../memory/physical-map.ts';
import type { VcpuEnvironment } from './environment.ts';
import type { InstructionSet } from './instruction-set.ts';
import type { VcpuPlace } from './vcpu-place.ts';
import type { VcpuSignals } from './vcpu-signals.ts';

/**
 * Why `run` came back: the count is used up, the vCPU is not running (see `state.activity`), somebody asked, or the next
 * instruction is at a breakpoint.
 */
export type RunResult = 'count' | 'inactive' | 'stopped' | 'breakpoint';

export interface Vcpu extends VcpuSignals {
  readonly state: VcpuState;
  readonly context: CpuContext;
  /** Instructions retired since the machine started. */
  retired(): number;
  /** Runs about `count` instructions; exactly so many if `exact`. */
  run(count: number, exact?: boolean): RunResult;
  /**
   * Executes one instruction, at a breakpoint or not, for a debugger. Interrupts that wait are delivered first with
   * `interrupts`, and to a halted vCPU; what is delivered takes the place of the instruction. `false`: the vCPU is not
   * running and nothing wakes it yet.
   */
  step(interrupts: boolean): boolean;
  /** Replaces the linear addresses before whose instructions `run` comes back. */
  setBreakpoints(addresses: ReadonlySet<bigint>): void;
  /** `run` returns 'stopped' at the next instruction boundary. */
  stop(): void;
  /** Whether it would run code now: it does already, or an interrupt, an NMI or a start waits. */
  awake(): boolean;
  /** Whether an interrupt or NMI would be taken now. */
  interruptsWait(): boolean;
  /** After registers were set from outside (reset, restore, debugger). */
  stateReplaced(): void;
  /** Everything decoded or cached from guest memory is forgotten. */
  memoryReplaced(): void;
  stats(): Record<string, number>;
}

/** What events of the physical map mean to the vCPU; the map is made before it. */
export interface VcpuMemoryEvents {
  codeWritten(page: number, from: number, to: number): void;
  /** Write grants of this vCPU for the frame at a host address no longer hold; if it moved, no grant does. */
  revoked(host: number, moved: boolean): void;
  /** The same for the vCPU with a state block, maybe one of another thread, which does not run. */
  revoke(state: VcpuState, cpu: number, host: number, moved: boolean): void;
  /** Every grant of that vCPU, for any frame, does no longer hold. */
  revokeAll(cpu: number): void;
}

/** When and how code is translated. */
export interface Translation {
  /** Times that a jump is taken or a block entered before it is translated, 1 to `MOST_HEAT`. */
  readonly threshold: number;
  /** Which runs of translated code are checked against the interpreter; absent: none. */
  readonly verify?: Sample | undefined;
  /** How much of it there may be; `DEFAULT_CODE_LIMITS` if absent. */
  readonly limits?: CodeLimits;
}

/**
 * Every run of a region at first, then as many as a machine can afford that is to boot in a few minutes. The period is odd,
 * so that loops of even length do not hide anything.
 */
export const DEFAULT_SAMPLE: Sample = { first: 16, every: 251 };

export const DEFAULT_TRANSLATION: Translation = { threshold: 20_000 };

/** The threshold where a machine's vCPUs leave no processor to the threads that compile: what these take, the guest has not. */
export const CROWDED_THRESHOLD = 60_000;

/** The threshold of a machine with `cpus` vCPUs on a host with `processors`, where nobody asks for another. */
export const defaultThreshold = (cpus: number, processors: number): number =>
  cpus < processors ? DEFAULT_TRANSLATION.threshold : CROWDED_THRESHOLD;

export interface VcpuOptions {
  readonly memory: WebAssembly.Memory;
  readonly arena: Arena;
  readonly map: PhysicalMap;
  readonly instructionSet: InstructionSet;
  readonly environment: VcpuEnvironment;
  /** Where its parts lie; somewhere in the arena if absent. */
  readonly place?: VcpuPlace | undefined;
  /** How hot code becomes WebAssembly; absent: all of it is interpreted. */
  readonly translation?: Translation | undefined;
  /** Instructions decoded before the interpreter's core is first made; as the block cache has it if absent. */
  readonly coreAfter?: number | undefined;
  /** Where regions are compiled; absent: in this thread, as always where translated code is verified. */
  readonly compiler?: CompilerPort | undefined;
  /** Host time in milliseconds, for statistics. */
  hostNow?(): number;
}
