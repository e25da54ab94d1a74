/**
 * A machine: memory, vCPUs, the board. Whoever owns it calls `advance` again and again from one thread; between calls
 * every vCPU stands at an instruction boundary, and the machine can be saved, inspected or thrown away.
 */
import { VirtsError } from '../base/errors.ts';
import { sumFigures } from '../base/figures.ts';
import { locked } from '../base/lock.ts';
import type { CompilerPort } from '../cpu/translator/compiler.ts';
import type { SerialBackend } from '../devices/serial/serial.ts';
import type { RunResult, Translation, Vcpu } from '../engine/translated/vcpu-interface.ts';
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { type Board, createBoard } from '../machine/board.ts';
import { applyEntryState, bootKernel, type KernelRequest, resetVcpu, withKernelFiles } from '../machine/boot.ts';
import { countedClock, realClock } from '../machine/clock.ts';
import type { DiskOptions, FolderOptions, NetworkOptions, VsockDeviceOptions } from '../machine/pci-devices.ts';
import { createStructMemory } from '../machine/struct-memory.ts';
import { createTimers } from '../machine/timers.ts';
import { vcpuBoard } from '../machine/vcpu-board.ts';
import { ACTIVITY } from '../machine/vcpu-reset.ts';
import { createArena } from '../memory/arena.ts';
import { createFramePool, firstFrame } from '../memory/frame-pool.ts';
import { createSharedMemory, MEMORY_SIZE, PAGE_SIZE } from '../memory/layout.ts';
import { createPhysicalMap, type PhysicalMap } from '../memory/physical-map.ts';
import { readContainer, type Section, writeContainer } from '../snapshot/container.ts';
import { createEnds, endNumber, endOfNumber, type MachineEnd } from './machine-end.ts';
import { restoreMachine, saveMachine } from './machine-snapshot.ts';
import { createPacer } from './pacer.ts';
import { arenaShares, createProcessors, MOST_VCPUS } from './processors.ts';
import { createThreads, type Threads } from './threads.ts';
import { createTurns } from './turns.ts';

export type { MachineEnd } from './machine-end.ts';

/** TSC ticks a nanosecond: the TSC counts nanoseconds. */
export const TSC_FREQUENCY = 1_000_000_000;

/** A thread of a machine that has one for each vCPU. The first makes what the others find; they come after its boot. */
export interface MachineThread {
  /** The vCPU that this thread runs. */
  readonly number: number;
  /** The memory of all threads of the machine, from `createSharedMemory`. */
  readonly memory: WebAssembly.Memory;
  /** Ends the sleep of another thread, or keeps it from falling asleep once. */
  wake(number: number): void;
}

export interface MachineOptions {
  /** Guest RAM in bytes, a multiple of 4 KiB. */
  readonly memory: number;
  /** vCPUs, 1 to `MOST_VCPUS`; 1 if absent. */
  readonly cpus?: number | undefined;
  /** Which of its threads this is; absent: one thread runs all vCPUs, in turns. A counted clock has but one. */
  readonly thread?: MachineThread | undefined;
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
  /** Called in the first thread with the memory of the machine, before anything is in it. */
  memoryMade?(memory: WebAssembly.Memory): void;
  /** Tells, in the first thread, that little of a range of the memory will ever be touched. */
  memorySparse?(memory: WebAssembly.Memory, address: number, length: number): void;
  /** Tells the host that a piece of the memory (address and bytes) is of no use until it is written to again; called in any thread. */
  memoryUnused?(memory: WebAssembly.Memory, address: number, length: number): void;
  /** First serial port, transmit side. */
  readonly serial: SerialBackend;
  /** The first serial port has room for input again. */
  onSerialRoom?(): void;
  /** A network card, if the machine is to have one. */
  readonly network?: NetworkOptions | undefined;
  /** A socket device, if the machine is to have one. */
  readonly vsock?: VsockDeviceOptions | undefined;
  readonly disks?: readonly DiskOptions[];
  readonly folders?: readonly FolderOptions[];
  /** How hot code is translated to WebAssembly; interpreted only if absent. */
  readonly translation?: Translation;
  /** Where it is compiled; absent: in this thread. */
  readonly compiler?: CompilerPort | undefined;
  /** What the guest did that is unknown or malformed. */
  log?(message: string): void;
  /** Where given, every exception is told. */
  onException?(vector: number, error: number | undefined, rip: bigint): void;
}

/** Nothing to do before `until` (machine time, ns), unless input comes first. */
export interface Idle {
  readonly kind: 'idle';
  readonly until: number;
}

export interface Ended {
  readonly kind: 'ended';
  readonly end: MachineEnd;
}

/** What an `advance` left: more to do at once, a wait, the end, or a vCPU whose next instruction is at a breakpoint. */
export type Progress =
  | { readonly kind: 'running' }
  | { readonly kind: 'breakpoint'; readonly vcpu: number }
  | Idle
  | Ended;

/** What a `step` left: it is done, or the vCPU is halted and nothing wakes it yet, or the machine is at its end. */
export type StepProgress = { readonly kind: 'stepped' } | Idle | Ended;

export interface Machine {
  /** Those that this thread runs. */
  readonly vcpus: readonly Vcpu[];
  readonly board: Board;
  readonly memory: PhysicalMap;
  /** Loads what boots and puts the first vCPU at its entry; the others wait to be started. @throws VirtsError `bad-input`, `no-space`, `unsupported`. */
  boot(request: KernelRequest): void;
  /** Machine time in nanoseconds. */
  now(): number;
  /** Instructions that the vCPUs have retired since the machine started. */
  retired(): number;
  /** Runs guest code for about `ns` nanoseconds of host time, or until there is nothing to run. */
  advance(ns: number): Progress;
  /** Runs `count` instructions, to the end of a step of a repeated one, or fewer to the end. Counted clock only. */
  advanceInstructions(count: number): Progress;
  /**
   * Executes one instruction of a vCPU for a debugger, at a breakpoint or not; interrupts that wait are delivered first
   * with `interrupts`, and to a halted vCPU. After `idle`, call it again when that time has come.
   */
  step(vcpu: number, interrupts: boolean): StepProgress;
  /** Machine time stands still until `continue`; nothing is to be run meanwhile, in any thread. */
  pause(): void;
  continue(): void;
  /** What the guest makes of it is its own: systems usually shut down. */
  pressPowerButton(): void;
  /** Asks the guest to give up so many bytes of its memory, at most all; it gives what it can. */
  setBalloon(bytes: number): void;
  /** Input for the first serial port; returns how many bytes it took, none before the guest listens. */
  input(bytes: Uint8Array): number;
  /** Starts over after an end by reset or triple fault. */
  reset(): void;
  save(): Uint8Array;
  /** Puts a new machine of equal configuration where the saved one was. @throws VirtsError `bad-input`. */
  restore(snapshot: Uint8Array): void;
  /** Figures of this thread; those of all threads add up to the machine's. */
  stats(): Record<string, number>;
}

/** Runs `work` while nothing else interferes. */
type Guard = <T>(work: () => T) => T;

/** Times in one call that a counted clock skips to a timer. */
const MOST_SKIPS = 100_000;

/** Bytes of RAM that the hole for devices leaves below 4 GiB. */
const MOST_MEMORY = 3584 * 1024 * 1024;

function check({ memory, cpus = 1, clock, thread }: MachineOptions): void {
  if (thread !== undefined && clock !== 'real') throw new VirtsError('internal', 'A counted clock has one thread.');
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MOST_VCPUS) {
    throw new VirtsError('usage', `A machine has 1 to ${MOST_VCPUS} vCPUs.`, { cpus });
  }
  const room = MEMORY_SIZE - firstFrame(arenaShares(cpus).arena) * PAGE_SIZE;
  const most = Math.min(MOST_MEMORY, room);
  if (memory % PAGE_SIZE === 0 && memory > 0 && memory <= most) return;
  const limit = `${Math.floor(most / 2 ** 20)} MiB`;
  throw new VirtsError('usage', `The memory size must be a multiple of 4 KiB, and at most ${limit}.`, { size: memory });
}

export function createMachine(options: MachineOptions): Machine {
  check(options);
  const { cpus = 1, thread, log = () => {} } = options;
  const memory = thread?.memory ?? createSharedMemory();
  const arena = createArena(memory.buffer, {
    end: arenaShares(cpus).arena,
    thread: thread?.number ?? 0,
    sparse: (address, length) => options.memorySparse?.(memory, address, length),
  });
  if (arena.thread === 0) options.memoryMade?.(memory);
  const pool = createFramePool(arena, (address, length) => options.memoryUnused?.(memory, address, length));
  const threads =
    thread &&
    createThreads({
      arena,
      count: cpus,
      poll: (number) => processors.poll(number),
      wake: (number) => thread.wake(number),
      now: () => options.hostNow(),
    });
  const random64 = () => {
    const bytes = new Uint8Array(8);
    options.random(bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  };
  const processors = createProcessors({
    count: cpus,
    own: thread?.number,
    threads,
    memory,
    arena,
    translation: options.translation,
    compiler: options.compiler,
    clock: {
      ticks: () => clock.now(),
      frequency: TSC_FREQUENCY,
      ticksToNs: (ticks) => ticks,
      epochNs: BigInt(options.epoch) * 1_000_000n,
    },
    random: random64,
    hostNow: () => options.hostNow(),
    log,
    ...(options.onException && { onException: (v, e, rip) => options.onException?.(v, e, rip) }),
    woken(number) {
      if (thread !== undefined) thread.wake(number);
      else {
        turnOver = true;
        processors.running?.stop();
      }
    },
  });
  const { vcpus, states, retired } = processors;
  const map = createPhysicalMap(arena, pool, options.memory, processors.events);
  const counted = options.clock === 'real' ? undefined : countedClock({ nsPerInstruction: options.clock, retired });
  const structs = createStructMemory(arena);
  const clock = counted ?? realClock(() => options.hostNow(), structs.place);
  /** Machine time at which the run under way comes back by itself. */
  let runEnd = Number.NEGATIVE_INFINITY;
  const timers = createTimers(clock, {
    place: structs.place,
    vcpus: cpus,
    armed(deadline, vcpu) {
      if (thread !== undefined && vcpu !== thread.number) thread.wake(vcpu);
      // An alarm set by the guest for a time before that ends the run: it may be due after a few instructions.
      else if (deadline < runEnd) processors.running?.stop();
    },
  });
  const guarded: Guard = threads === undefined ? (work) => work() : (work) => locked(threads.lock, work);
  const ends = threads ?? createEnds();
  const ended = () => endOfNumber(ends.ended());
  let request: KernelRequest | undefined;

  const finish = (reached: MachineEnd) => {
    ends.finish(endNumber(reached));
    processors.running?.stop();
  };
  const board = createBoard({
    structs,
    memory: map,
    timers,
    wall: { epoch: options.epoch },
    description: { ...STANDARD_BOARD, vcpus: cpus },
    random: (bytes) => options.random(bytes),
    network: options.network,
    vsock: options.vsock,
    ...(options.disks && { disks: options.disks }),
    ...(options.folders && { folders: options.folders }),
    serial: [{ backend: options.serial, onRoom: () => options.onSerialRoom?.() }],
    tscToNs: (ticks, number) => Number(BigInt.asIntN(64, ticks - states[number].tscOffset)),
    log,
    powerOff: () => finish({ reason: 'power-off' }),
    reset: () => finish({ reason: 'reset' }),
    debugExit: (status) => finish({ reason: 'debug-exit', status }),
    vcpus: processors.signals,
  });
  processors.create(map, (number) => vcpuBoard(board, number, threads?.lock));
  const turns = createTurns(vcpus);
  const pacer = createPacer();
  /** What the vCPU that runs did gave another something to do. */
  let turnOver = false;
  if (arena.thread === 0) resetProcessors();

  /** All vCPUs as after power-on. */
  function resetProcessors(): void {
    for (const [number, state] of states.entries()) resetVcpu(state, { bootstrap: number === 0 });
  }
  /** Memory and the state of the vCPUs of this thread were replaced. */
  function lookAnew(): void {
    for (const vcpu of vcpus) {
      vcpu.memoryReplaced();
      vcpu.stateReplaced();
    }
  }
  /** The same for all vCPUs. */
  function replaced(): void {
    lookAnew();
    threads?.stateReplaced();
  }

  function boot(next: KernelRequest): void {
    const counts = states.map((_, number) => BigInt(processors.retiredBy(number)));
    // Where the files cannot be had, nothing has happened yet.
    const entry = withKernelFiles(next, (files) => {
      board.reset();
      resetProcessors();
      return bootKernel(map, board.description, files);
    });
    request = next;
    applyEntryState(states[0], entry);
    for (const [number, state] of states.entries()) state.instructions = counts[number];
    replaced();
  }

  /** The end is reached when back ends have done what they were asked to: until then they use guest memory. */
  function ending(end: MachineEnd): Idle | Ended {
    const waits = arena.thread === 0 && !board.settled();
    return waits ? { kind: 'idle', until: Number.POSITIVE_INFINITY } : { kind: 'ended', end };
  }

  // Times are whole nanoseconds: nothing is due between two.
  const untilTimer = (): Idle => ({ kind: 'idle', until: Math.ceil(timers.next(thread?.number)) });
  const runTimers = () => {
    if (timers.next(thread?.number) <= clock.now()) guarded(() => timers.run());
  };

  /** The first vCPU's thread is the one that back ends wake. */
  const pollDevices = () => {
    if (arena.thread === 0) guarded(() => board.poll());
  };

  /** What the state of the vCPUs means after one came back. */
  function progress(): { readonly kind: 'running' } | Idle | Ended {
    if (states.some(({ activity }) => activity === ACTIVITY.shutdown)) finish({ reason: 'triple-fault' });
    const end = ended();
    if (end !== undefined) return ending(end);
    if (vcpus.some(({ state }) => state.activity === ACTIVITY.running)) return { kind: 'running' };
    if (!processors.deaf()) return untilTimer();
    if (arena.thread === 0) return ending({ reason: 'halted' });
    thread?.wake(0);
    return { kind: 'idle', until: Number.POSITIVE_INFINITY };
  }

  /** Runs a vCPU. `time`: when `count` instructions will have run, in machine time. */
  function runUntil(vcpu: Vcpu, time: number, count: number, exact: boolean): RunResult {
    processors.running = vcpu;
    runEnd = time;
    turnOver = false;
    const before = vcpu.retired();
    const result = vcpu.run(count, exact);
    runEnd = Number.NEGATIVE_INFINITY;
    processors.running = undefined;
    turns.ran(vcpu.retired() - before);
    if (turnOver) turns.yield();
    return result;
  }

  function breakpointAt(vcpu: Vcpu): Progress {
    return { kind: 'breakpoint', vcpu: vcpus.indexOf(vcpu) };
  }

  /** Runs the vCPU whose turn it is for some of `ns` nanoseconds of host time. */
  function advanceTurn(ns: number): Progress {
    pollDevices();
    runTimers();
    const vcpu = turns.next();
    if (vcpu === undefined || ends.ended() !== 0) return progress();
    const until = Math.min(ns, Math.max(0, timers.next(thread?.number) - clock.now()));
    const before = vcpu.retired();
    const started = options.hostNow();
    const count = Math.min(pacer.instructions(until), turns.left());
    const result = runUntil(vcpu, clock.now() + until, count, false);
    pacer.measured(vcpu.retired() - before, options.hostNow() - started);
    runTimers();
    if (ends.ended() !== 0) return progress();
    if (result === 'breakpoint') return breakpointAt(vcpu);
    return turns.next() === undefined ? progress() : { kind: 'running' };
  }

  /** Runs this thread's vCPU, unless another thread has the machine stand still. */
  function advanceThread(ns: number, { enter, leave, wasReplaced }: Threads): Progress {
    if (!enter()) {
      const end = ended();
      if (end === undefined) return { kind: 'idle', until: Number.POSITIVE_INFINITY };
      pollDevices();
      return ending(end);
    }
    try {
      if (wasReplaced()) lookAnew();
      return advanceTurn(ns);
    } finally {
      leave();
    }
  }

  function advance(ns: number): Progress {
    if (threads !== undefined) return advanceThread(ns, threads);
    return counted === undefined ? advanceTurn(ns) : advanceInstructions(pacer.instructions(ns));
  }

  /** Counted clock: stops exactly where a timer is due, so that interrupts come at the same instruction every time. */
  function advanceInstructions(count: number): Progress {
    if (counted === undefined) throw new VirtsError('internal', 'Only a counted clock runs a number of instructions.');
    const rate = options.clock as number;
    const target = retired() + count;
    let skips = 0;
    while (retired() < target) {
      board.poll();
      if (ends.ended() !== 0) return progress();
      timers.run();
      const vcpu = turns.next();
      if (vcpu !== undefined) {
        const now = counted.exact();
        const due = Math.ceil((Math.ceil(timers.next()) - now) / rate);
        const length = Math.max(1, Math.min(target - retired(), due, turns.left()));
        if (runUntil(vcpu, now + length * rate, length, true) === 'breakpoint' && ends.ended() === 0)
          return breakpointAt(vcpu);
      }
      const state = progress();
      if (state.kind === 'ended') return state;
      if (state.kind === 'idle' && turns.next() === undefined) {
        // Timers that wake nobody must not keep the caller for ever.
        if (state.until === Number.POSITIVE_INFINITY || ++skips > MOST_SKIPS) return state;
        counted.skipTo(state.until);
      }
    }
    return { kind: 'running' };
  }

  function step(number: number, interrupts: boolean): StepProgress {
    timers.run();
    const vcpu = vcpus[number];
    processors.running = vcpu;
    const done = vcpu.step(interrupts);
    processors.running = undefined;
    const after = progress();
    if (after.kind === 'ended') return after;
    if (done) return { kind: 'stepped' };
    // The others stand still: only a timer or input wakes it.
    const idle = untilTimer();
    if (counted !== undefined && idle.until !== Number.POSITIVE_INFINITY) counted.skipTo(idle.until);
    return idle;
  }

  /** Runs `work` while no vCPU executes anything. */
  const standingStill: Guard = threads?.whileHeld ?? ((work) => work());
  const parts = { states, replaced, turns, board, map, clock };
  return {
    vcpus,
    board,
    memory: map,
    boot: (next) => standingStill(() => boot(next)),
    now: () => clock.now(),
    retired,
    advance,
    advanceInstructions,
    step,
    pause: () => standingStill(() => clock.stop()),
    continue: () => standingStill(() => clock.continue()),
    pressPowerButton: () => guarded(() => board.pressPowerButton()),
    setBalloon: (bytes) => guarded(() => board.virtioBalloon?.setTarget(bytes)),
    input: (bytes) => guarded(() => (board.serial[0].listening() ? board.serial[0].receive(bytes) : 0)),
    reset() {
      const again = request;
      if (again === undefined) throw new VirtsError('internal', 'A machine that never booted cannot be reset.');
      standingStill(() => {
        boot(again);
        ends.revive();
      });
    },
    save: () => standingStill(() => writeContainer(saveMachine(parts))),
    restore(snapshot) {
      const sections: Section[] = readContainer(snapshot);
      standingStill(() => restoreMachine(parts, sections));
    },
    stats: () => ({
      ...sumFigures(vcpus.map((vcpu) => vcpu.stats())),
      ...threads?.stats(),
      'instructions retired': vcpus.reduce((sum, vcpu) => sum + vcpu.retired(), 0),
      // The memory of all threads is told of once.
      'guest memory in the balloon (KiB)': arena.thread === 0 ? (board.virtioBalloon?.actual() ?? 0) / 1024 : 0,
      'resident guest memory (KiB)': arena.thread === 0 ? map.resident() * 4 : 0,
    }),
  };
}
