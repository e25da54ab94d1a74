/** The thread that runs a machine for the command line: guest code, devices, and sleep while there is nothing to do. */
import { randomFillSync } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { VirtsError } from '../base/errors.ts';
import { openRing } from '../base/ring.ts';
import { createMachine, type Machine, type MachineEnd } from '../vm/machine.ts';
import { exceptionLine } from './debug-log.ts';
import { type Channel, CONTROL, OUTPUT_LIMIT } from './worker-channel.ts';

export interface WorkerOptions {
  readonly channel: Channel;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  readonly memory: number;
  readonly reboot: boolean;
  readonly debugLog: boolean;
}

export type WorkerMessage =
  | { readonly kind: 'started' }
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  | { readonly kind: 'log'; readonly line: string }
  | { readonly kind: 'ended'; readonly end: MachineEnd; readonly stats: Record<string, number> }
  | { readonly kind: 'stopped'; readonly stats: Record<string, number> }
  | { readonly kind: 'failed'; readonly error: FailedError };

/** An error on its way between threads. */
export interface FailedError {
  readonly kind: VirtsError['kind'];
  readonly message: string;
  readonly stack: string | undefined;
}

/** Nanoseconds of guest code between looks at the outside. */
const SLICE_NS = 1_000_000;
/** Longest sleep, so that host clocks that jump do no harm. */
const LONGEST_SLEEP_MS = 1000;

const options = workerData as WorkerOptions;
const control = new Int32Array(options.channel.control);
const input = openRing(options.channel.input);
const post = (message: WorkerMessage) => parentPort?.postMessage(message);

let output: number[] = [];
function flushOutput(): void {
  if (output.length === 0) return;
  const bytes = Uint8Array.from(output);
  output = [];
  Atomics.add(control, CONTROL.unread, bytes.length);
  post({ kind: 'output', bytes });
}

/** Waits until the terminal has taken what was sent, so that a guest cannot fill the host's memory. */
function waitForTerminal(): void {
  for (;;) {
    const unread = Atomics.load(control, CONTROL.unread);
    if (unread <= OUTPUT_LIMIT || Atomics.load(control, CONTROL.stop) !== 0) return;
    Atomics.wait(control, CONTROL.unread, unread, LONGEST_SLEEP_MS);
  }
}

function passInput(machine: Machine): void {
  while (input.available() > 0) {
    const taken = machine.input(input.peek(256));
    if (taken === 0) return;
    input.skip(taken);
  }
}

function create(): Machine {
  const machine: Machine = createMachine({
    memory: options.memory,
    clock: 'real',
    hostNow: () => performance.now() * 1e6,
    epoch: Date.now(),
    random: (bytes) => void randomFillSync(bytes),
    serial: {
      write: (byte) => {
        output.push(byte);
      },
    },
    ...(options.debugLog
      ? {
          log: (line: string) => post({ kind: 'log', line }),
          onException: (vector: number, error: number | undefined, rip: bigint) =>
            post({ kind: 'log', line: exceptionLine(vector, error, rip) }),
        }
      : {}),
  });
  return machine;
}

/** Runs until the machine ends for good or the other thread says stop. */
function run(machine: Machine): MachineEnd | undefined {
  for (;;) {
    const seen = Atomics.load(control, CONTROL.kick);
    if (Atomics.load(control, CONTROL.stop) !== 0) return undefined;
    passInput(machine);
    const progress = machine.advance(SLICE_NS);
    flushOutput();
    waitForTerminal();
    if (progress.kind === 'ended') {
      const restart = progress.end.reason === 'reset' || progress.end.reason === 'triple-fault';
      if (!restart || !options.reboot) return progress.end;
      machine.reset();
    } else if (progress.kind === 'idle') {
      const ms = Math.min((progress.until - machine.now()) / 1e6, LONGEST_SLEEP_MS);
      if (ms > 0) Atomics.wait(control, CONTROL.kick, seen, ms);
    }
  }
}

function main(): void {
  const machine = create();
  machine.boot({
    kernel: options.kernel,
    ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
    commandLine: options.append,
  });
  post({ kind: 'started' });
  const end = run(machine);
  flushOutput();
  const stats = machine.stats();
  post(end === undefined ? { kind: 'stopped', stats } : { kind: 'ended', end, stats });
}

try {
  main();
} catch (error) {
  const known = error instanceof VirtsError ? error : undefined;
  const message = known?.message ?? `Virts met a defect of its own: ${error instanceof Error ? error.message : error}`;
  const stack = error instanceof Error ? error.stack : undefined;
  post({ kind: 'failed', error: { kind: known?.kind ?? 'internal', message, stack } });
}
