/**
 * The loop that runs a machine, written once for two ways of waiting: a thread that sleeps and has no event loop, which is
 * quickest, and one whose event loop serves a debugger meanwhile.
 */
import type { Ring } from '../base/ring.ts';
import { PAGE_SIZE } from '../memory/layout.ts';
import type { TargetProgress } from '../vm/gdb/machine-target.ts';
import type { MachineEnd } from '../vm/machine.ts';
import { CONTROL, OUTPUT_LIMIT } from './worker-channel.ts';

/** Nanoseconds of guest code between looks at the outside. */
const SLICE_NS = 1_000_000;
/** Longest sleep, so that host clocks that jump do no harm. */
const LONGEST_SLEEP_MS = 1000;

/** What is run: a machine, or one under a debugger. */
export interface Runner {
  advance(ns: number): TargetProgress;
  /** Starts over after an end. */
  restart(): void;
  /** Returns how many bytes the first serial port took. */
  input(bytes: Uint8Array): number;
  /** Machine time in nanoseconds. */
  now(): number;
  /** Machine time stands still until `continue`. */
  pause(): void;
  continue(): void;
  pressPowerButton(): void;
  /** The guest is to give up so many bytes of its memory, or to take back what is more. */
  setBalloon(bytes: number): void;
}

export interface LoopParts {
  readonly runner: Runner;
  /** Number of the vCPU whose thread it is, or of the first. The thread of the first looks after input and ends. */
  readonly vcpu: number;
  readonly control: Int32Array;
  readonly input: Ring;
  /** Sends what the guest has written since the last call. */
  flushOutput(): void;
  /** Sends the figures of `--stats` as they are now. */
  report(): void;
  /** Tells that this thread stands still, as the owner asked for with this number. */
  standing(count: number): void;
  /** Whether the machine starts over after this end. */
  restarts(end: MachineEnd): boolean;
}

/** How a run ended: by the guest, by a debugger, or by the thread with the terminal. */
export type RunEnd = MachineEnd | { readonly reason: 'killed' } | { readonly reason: 'stopped' };

/** Wait until the control word `word` is no longer `value`, `ms` milliseconds at most. */
export interface Wait {
  readonly word: number;
  readonly value: number;
  readonly ms: number;
}

/** Yields what to wait for before it goes on; `undefined` between two slices. */
export type MachineLoop = Generator<Wait | undefined, RunEnd, void>;

/** Hands input on; whether the guest took any. */
function passInput({ runner, vcpu, input }: LoopParts): boolean {
  if (vcpu > 0) return false;
  let any = false;
  while (input.available() > 0) {
    const taken = runner.input(input.peek(256));
    if (taken === 0) break;
    input.skip(taken);
    any = true;
  }
  return any;
}

/** Whether the owner has the machine stand still; called whenever a thread has come to the end of a slice. */
function pausing({ runner, control, vcpu, standing }: LoopParts): () => boolean {
  let count = 0;
  return () => {
    const wanted = Atomics.load(control, CONTROL.pause);
    const stands = wanted % 2 !== 0;
    if (wanted === count) return stands;
    count = wanted;
    if (vcpu === 0 && stands) runner.pause();
    if (vcpu === 0 && !stands) runner.continue();
    if (stands) standing(count);
    return stands;
  };
}

export function* machineLoop(parts: LoopParts): MachineLoop {
  const { runner, control, vcpu } = parts;
  const word = CONTROL.kick + vcpu;
  const stands = pausing(parts);
  let reports = 0;
  let presses = 0;
  let ballooned = 0;
  for (;;) {
    const seen = Atomics.load(control, word);
    if (Atomics.load(control, CONTROL.stop) !== 0) return { reason: 'stopped' };
    const wanted = Atomics.load(control, CONTROL.report);
    if (wanted !== reports) parts.report();
    reports = wanted;
    if (stands()) {
      yield { word, value: seen, ms: LONGEST_SLEEP_MS };
      continue;
    }
    // Until the terminal has taken what was sent: a guest must not fill the host's memory.
    const unread = Atomics.load(control, CONTROL.unread);
    if (unread > OUTPUT_LIMIT) {
      yield { word: CONTROL.unread, value: unread, ms: LONGEST_SLEEP_MS };
      continue;
    }
    const pressed = Atomics.load(control, CONTROL.button);
    if (pressed !== presses && vcpu === 0) runner.pressPowerButton();
    presses = pressed;
    const balloon = Atomics.load(control, CONTROL.balloon);
    if (balloon !== ballooned && vcpu === 0) runner.setBalloon(balloon * PAGE_SIZE);
    ballooned = balloon;
    passInput(parts);
    const progress = runner.advance(SLICE_NS);
    parts.flushOutput();
    if (progress.kind === 'killed') return { reason: 'killed' };
    if (progress.kind === 'stopped' || (progress.kind === 'ended' && vcpu > 0)) {
      yield { word, value: seen, ms: LONGEST_SLEEP_MS };
    } else if (progress.kind === 'ended') {
      if (!parts.restarts(progress.end)) return progress.end;
      runner.restart();
    } else if (progress.kind === 'idle' && !passInput(parts)) {
      const ms = Math.min((progress.until - runner.now()) / 1e6, LONGEST_SLEEP_MS);
      if (ms > 0) yield { word, value: seen, ms };
    }
    yield undefined;
  }
}

/** Runs the loop in a thread that does nothing else. */
export function runBlocking(loop: MachineLoop, control: Int32Array): RunEnd {
  for (;;) {
    const step = loop.next();
    if (step.done) return step.value;
    if (step.value !== undefined) Atomics.wait(control, step.value.word, step.value.value, step.value.ms);
  }
}

/** How a thread lets its event loop have its turn. */
export interface EventLoop {
  /** Resolves when everything that waits now has had its turn. */
  turn(): Promise<void>;
  /** Resolves when a wait is over. */
  wait(wait: Wait): Promise<unknown>;
}

/** Runs the loop so that the thread's event loop has a turn after every slice and during every wait. */
export async function runOnEventLoop(loop: MachineLoop, { turn, wait }: EventLoop): Promise<RunEnd> {
  for (;;) {
    const step = loop.next();
    if (step.done) return step.value;
    if (step.value !== undefined) await wait(step.value);
    await turn();
  }
}
