/**
 * A machine: memory, one vCPU, the board. Whoever owns it calls `advance` again and again from one thread; between calls
 * it stands at an instruction boundary and can be saved, inspected or thrown away.
 */
import { VirtsError } from '../base/errors.ts';
import type { CompilerPort } from '../cpu/translator/compiler.ts';
import type { SerialBackend } from '../devices/serial/serial.ts';
import { x86 } from '../engine/translated/instruction-set.ts';
import { ACTIVITY, createVcpu, type RunResult, type Translation, type Vcpu } from '../engine/translated/vcpu.ts';
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { type Board, createBoard } from '../machine/board.ts';
import { applyEntryState, bootKernel, type KernelRequest, resetVcpu } from '../machine/boot.ts';
import { countedClock, realClock } from '../machine/clock.ts';
import { createStructMemory } from '../machine/struct-memory.ts';
import { createTimers } from '../machine/timers.ts';
import { createArena } from '../memory/arena.ts';
import { createFramePool } from '../memory/frame-pool.ts';
import { createSharedMemory, PAGE_SIZE } from '../memory/layout.ts';
import { createPhysicalMap, type PhysicalMap } from '../memory/physical-map.ts';
import { readContainer, type Section, writeContainer } from '../snapshot/container.ts';
import { restoreMachine, saveMachine } from './machine-snapshot.ts';
import { createPacer } from './pacer.ts';

/** TSC ticks a nanosecond: the TSC counts nanoseconds. */
export const TSC_FREQUENCY = 1_000_000_000;

export interface MachineOptions {
  /** Guest RAM in bytes, a multiple of 4 KiB. */
  readonly memory: number;
  /**
   * `real`: the host's time. A number: each instruction takes so many nanoseconds and idle time is skipped, so that a run
   * repeats exactly; a multiple of 1/1024.
   */
  readonly clock: 'real' | number;
  /** Nanoseconds from any origin, never stepping back. */
  hostNow(): number;
  /** Milliseconds since 1970 at the machine's time 0. */
  readonly epoch: number;
  random(bytes: Uint8Array): void;
  /** First serial port, transmit side. */
  readonly serial: SerialBackend;
  /** The first serial port has room for input again. */
  onSerialRoom?(): void;
  /** How hot code is translated to WebAssembly; interpreted only if absent. */
  readonly translation?: Translation;
  /** Where it is compiled; absent: in this thread. */
  readonly compiler?: CompilerPort | undefined;
  /** What the guest did that is unknown or malformed. */
  log?(message: string): void;
  /** Where given, every exception is told. */
  onException?(vector: number, error: number | undefined, rip: bigint): void;
}

export type MachineEnd =
  | { readonly reason: 'power-off' | 'reset' | 'triple-fault' | 'halted' }
  | { readonly reason: 'debug-exit'; readonly status: number };

/** Nothing to do before `until` (machine time, ns), unless input comes first. */
export interface Idle {
  readonly kind: 'idle';
  readonly until: number;
}

export interface Ended {
  readonly kind: 'ended';
  readonly end: MachineEnd;
}

/** What an `advance` left: more to do at once, a wait, the end, or an instruction at a breakpoint that comes next. */
export type Progress = { readonly kind: 'running' } | { readonly kind: 'breakpoint' } | Idle | Ended;

/** What a `step` left: it is done, or the vCPU is halted and nothing wakes it yet, or the machine is at its end. */
export type StepProgress = { readonly kind: 'stepped' } | Idle | Ended;

export interface Machine {
  readonly vcpu: Vcpu;
  readonly board: Board;
  readonly memory: PhysicalMap;
  /** Loads what boots and puts the vCPU at its entry. @throws VirtsError `bad-input`, `no-space`, `unsupported`. */
  boot(request: KernelRequest): void;
  /** Machine time in nanoseconds. */
  now(): number;
  /** Runs guest code for about `ns` nanoseconds of host time, or until there is nothing to run. */
  advance(ns: number): Progress;
  /** Runs `count` instructions, to the end of a step of a repeated one, or fewer to the end. Counted clock only. */
  advanceInstructions(count: number): Progress;
  /**
   * Executes one instruction for a debugger, at a breakpoint or not; interrupts that wait are delivered first with
   * `interrupts`, and to a halted vCPU. After `idle`, call it again when that time has come.
   */
  step(interrupts: boolean): StepProgress;
  /** Machine time stands still until `continue`; nothing is to be run meanwhile. */
  pause(): void;
  continue(): void;
  /** Input for the first serial port; returns how many bytes it took, none before the guest listens. */
  input(bytes: Uint8Array): number;
  /** Starts over after an end by reset or triple fault. */
  reset(): void;
  save(): Uint8Array;
  /** Puts a new machine of equal configuration where the saved one was. @throws VirtsError `bad-input`. */
  restore(snapshot: Uint8Array): void;
  stats(): Record<string, number>;
}

/** Times in one call that a counted clock skips to a timer. */
const MOST_SKIPS = 100_000;

/** Bytes of RAM that the frame pool can back. */
const MOST_MEMORY = 3584 * 1024 * 1024;

function checkMemory(size: number): void {
  if (size % PAGE_SIZE === 0 && size > 0 && size <= MOST_MEMORY) return;
  throw new VirtsError('usage', 'The memory size must be a multiple of 4 KiB, and at most 3584 MiB.', { size });
}

export function createMachine(options: MachineOptions): Machine {
  checkMemory(options.memory);
  const log = options.log ?? (() => {});
  const memory = createSharedMemory();
  const arena = createArena(memory.buffer);
  const pool = createFramePool(arena);
  const map = createPhysicalMap(arena, pool, options.memory, {
    codeWritten: (page, from, to) => vcpu.codeWritten(page, from, to),
    revoked: (host, moved) => vcpu.revoked(host, moved),
  });
  // The board reads the clock before there is a vCPU.
  let retired = () => 0;
  const counted =
    options.clock === 'real' ? undefined : countedClock({ nsPerInstruction: options.clock, retired: () => retired() });
  const clock = counted ?? realClock(() => options.hostNow());
  const structs = createStructMemory(arena);
  /** Machine time at which the run under way comes back by itself. */
  let runEnd = Number.NEGATIVE_INFINITY;
  const timers = createTimers(clock, {
    place: structs.place,
    // An alarm set by the guest for a time before that ends the run: it may be due after a few instructions.
    armed(deadline) {
      if (deadline < runEnd) vcpu.stop();
    },
  });
  let end: MachineEnd | undefined;
  let request: KernelRequest | undefined;

  const finish = (reached: MachineEnd) => {
    end ??= reached;
    vcpu.stop();
  };
  const tscToNs = (ticks: bigint) => Number(BigInt.asIntN(64, ticks - vcpu.state.tscOffset));
  const random64 = () => {
    const bytes = new Uint8Array(8);
    options.random(bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  };
  const board = createBoard({
    structs,
    memory: map,
    timers,
    wall: { epoch: options.epoch },
    description: STANDARD_BOARD,
    random: (bytes) => options.random(bytes),
    serial: [{ backend: options.serial, onRoom: () => options.onSerialRoom?.() }],
    tscToNs,
    log,
    powerOff: () => finish({ reason: 'power-off' }),
    reset: () => finish({ reason: 'reset' }),
    debugExit: (status) => finish({ reason: 'debug-exit', status }),
    vcpus: [
      {
        interrupt: () => vcpu.signal(),
        nmi: () => vcpu.nmi(),
        smi: () => {},
        init: () => {},
        startup: () => {},
      },
    ],
  });
  const vcpu = createVcpu({
    memory,
    arena,
    map,
    instructionSet: x86,
    translation: options.translation,
    compiler: options.compiler,
    hostNow: () => options.hostNow() / 1e6,
    environment: {
      topology: { apicId: 0, count: 1 },
      ports: board.ports,
      mmio: board.mmio,
      interrupts: board.interrupts[0],
      apic: board.localApics[0],
      clock: {
        ticks: () => clock.now(),
        frequency: TSC_FREQUENCY,
        ticksToNs: (ticks) => ticks,
        epochNs: BigInt(options.epoch) * 1_000_000n,
      },
      random: random64,
      hypercall: () => -1000n,
      log,
      onException: options.onException && ((v, e) => options.onException?.(v, e, vcpu.state.rip)),
    },
  });
  retired = vcpu.retired;
  const pacer = createPacer();
  resetVcpu(vcpu.state);
  vcpu.stateReplaced();

  function boot(next: KernelRequest): void {
    request = next;
    board.reset();
    resetVcpu(vcpu.state);
    const entry = bootKernel(map, board.description, next);
    applyEntryState(vcpu.state, entry);
    vcpu.state.instructions = BigInt(vcpu.retired());
    vcpu.memoryReplaced();
    vcpu.stateReplaced();
  }

  /** What the vCPU's state means after it came back. */
  function progress(): { readonly kind: 'running' } | Idle | Ended {
    if (end !== undefined) return { kind: 'ended', end };
    const { state } = vcpu;
    if (state.activity === ACTIVITY.shutdown) return { kind: 'ended', end: { reason: 'triple-fault' } };
    if (state.activity === ACTIVITY.running) return { kind: 'running' };
    const deaf = (state.eflags & 0x200) === 0 && state.nmiPending === 0;
    if (deaf) return { kind: 'ended', end: { reason: 'halted' } };
    // Times are whole nanoseconds: nothing is due between two.
    return { kind: 'idle', until: Math.ceil(timers.next()) };
  }

  /** `time`: when `count` instructions will have run, in machine time. */
  function runUntil(time: number, count: number, exact: boolean): RunResult {
    runEnd = time;
    const result = vcpu.run(count, exact);
    runEnd = Number.NEGATIVE_INFINITY;
    return result;
  }

  function advance(ns: number): Progress {
    timers.run();
    if (counted !== undefined) return advanceInstructions(pacer.instructions(ns));
    const until = Math.min(ns, Math.max(0, timers.next() - clock.now()));
    const before = vcpu.retired();
    const started = options.hostNow();
    const result = runUntil(clock.now() + until, pacer.instructions(until), false);
    pacer.measured(vcpu.retired() - before, options.hostNow() - started);
    timers.run();
    if (end === undefined && result === 'breakpoint') return { kind: 'breakpoint' };
    return end === undefined && vcpu.interruptsWait() ? { kind: 'running' } : progress();
  }

  /** Counted clock: stops exactly where a timer is due, so that interrupts come at the same instruction every time. */
  function advanceInstructions(count: number): Progress {
    if (counted === undefined) throw new VirtsError('internal', 'Only a counted clock runs a number of instructions.');
    const rate = options.clock as number;
    const target = vcpu.retired() + count;
    let skips = 0;
    while (vcpu.retired() < target) {
      timers.run();
      const now = counted.exact();
      const due = Math.ceil((Math.ceil(timers.next()) - now) / rate);
      const length = Math.max(1, Math.min(target - vcpu.retired(), due));
      const result = runUntil(now + length * rate, length, true);
      const state = progress();
      if (state.kind !== 'ended' && result === 'breakpoint') return { kind: 'breakpoint' };
      if (state.kind === 'ended') return state;
      if (state.kind === 'idle' && !vcpu.interruptsWait()) {
        // Timers that wake nobody must not keep the caller for ever.
        if (state.until === Number.POSITIVE_INFINITY || ++skips > MOST_SKIPS) return state;
        counted.skipTo(state.until);
      }
    }
    return { kind: 'running' };
  }

  function step(interrupts: boolean): StepProgress {
    timers.run();
    const done = vcpu.step(interrupts);
    const after = progress();
    if (after.kind === 'ended') return after;
    if (done || after.kind !== 'idle') return { kind: 'stepped' };
    if (counted !== undefined && after.until !== Number.POSITIVE_INFINITY) counted.skipTo(after.until);
    return after;
  }

  return {
    vcpu,
    board,
    memory: map,
    boot,
    now: () => clock.now(),
    advance,
    advanceInstructions,
    step,
    pause: () => clock.stop(),
    continue: () => clock.continue(),
    input: (bytes) => (board.serial[0].listening() ? board.serial[0].receive(bytes) : 0),
    reset() {
      if (request === undefined) throw new VirtsError('internal', 'A machine that never booted cannot be reset.');
      end = undefined;
      boot(request);
    },
    save: () => writeContainer(saveMachine({ vcpu, board, map, clock })),
    restore(snapshot) {
      const sections: Section[] = readContainer(snapshot);
      restoreMachine({ vcpu, board, map, clock }, sections);
    },
    stats: () => ({
      ...vcpu.stats(),
      'instructions retired': vcpu.retired(),
      'resident guest memory (KiB)': map.resident() * 4,
    }),
  };
}
