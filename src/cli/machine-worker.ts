/** The thread that runs a machine for the command line: guest code, devices, and sleep while there is nothing to do. */
import { randomFillSync } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { openRing } from '../base/ring.ts';
import type { Translation } from '../engine/translated/vcpu.ts';
import { exceptionLine } from '../sdk/debug-log.ts';
import type { MachineOptions } from '../sdk/machine-host.ts';
import {
  type EventLoop,
  type MachineLoop,
  machineLoop,
  type RunEnd,
  type Runner,
  runBlocking,
  runOnEventLoop,
} from '../sdk/machine-loop.ts';
import { openCompiler, type TranslatorLink } from '../sdk/translator-link.ts';
import { type Channel, CONTROL, kick } from '../sdk/worker-channel.ts';
import { describeError, type FailedError } from '../sdk/worker-error.ts';
import { createMachineTarget } from '../vm/gdb/machine-target.ts';
import { createMachine, type Machine, type MachineEnd } from '../vm/machine.ts';
import { exitStatus } from './exit-status.ts';
import { serveGdb } from './gdb-server.ts';

type GdbRequest = NonNullable<MachineOptions['gdb']>;

export interface WorkerOptions {
  readonly channel: Channel;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  readonly memory: number;
  readonly cpus: number;
  readonly translation: Translation | undefined;
  /** To the thread that compiles regions; absent: this one does it. */
  readonly translator: TranslatorLink | undefined;
  readonly reboot: boolean;
  readonly debugLog: boolean;
  readonly gdb: GdbRequest | undefined;
}

export type WorkerMessage =
  | { readonly kind: 'started' }
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  | { readonly kind: 'log'; readonly line: string }
  | { readonly kind: 'ended'; readonly end: RunEnd; readonly stats: Record<string, number> }
  | { readonly kind: 'failed'; readonly error: FailedError };

const options = workerData as WorkerOptions;
const control = new Int32Array(options.channel.control);
const input = openRing(options.channel.input);
const post = (message: WorkerMessage) => parentPort?.postMessage(message);

const eventLoop: EventLoop = {
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  wait: async ({ word, value, ms }) => Atomics.waitAsync(control, word, value, ms).value,
};

/** The global is looked up anew at each use, and guests read clocks often. */
const hostClock = performance;

let output: number[] = [];
function flushOutput(): void {
  if (output.length === 0) return;
  const bytes = Uint8Array.from(output);
  output = [];
  Atomics.add(control, CONTROL.unread, bytes.length);
  post({ kind: 'output', bytes });
}

function create(): Machine {
  const machine: Machine = createMachine({
    memory: options.memory,
    cpus: options.cpus,
    ...(options.translation === undefined ? {} : { translation: options.translation }),
    compiler: options.translator && openCompiler(options.translator),
    clock: 'real',
    hostNow: () => hostClock.now() * 1e6,
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

function restarts({ reason }: MachineEnd): boolean {
  return options.reboot && (reason === 'reset' || reason === 'triple-fault');
}

function loopOver(runner: Runner): MachineLoop {
  return machineLoop({ runner, control, input, flushOutput, restarts });
}

function run(machine: Machine): RunEnd {
  post({ kind: 'started' });
  const { advance, input, now, reset } = machine;
  return runBlocking(loopOver({ advance, input, now, restart: reset }), control);
}

async function runDebugged(machine: Machine, { port, wait }: GdbRequest): Promise<RunEnd> {
  const target = createMachineTarget(machine, { wait, restarts, exitStatus, wake: () => kick(control) });
  const server = await serveGdb(target, { port });
  try {
    post({ kind: 'started' });
    return await runOnEventLoop(loopOver(target), eventLoop);
  } finally {
    await server.close();
  }
}

async function main(): Promise<void> {
  const machine = create();
  machine.boot({
    kernel: options.kernel,
    ...(options.initrd === undefined ? {} : { initrd: options.initrd }),
    commandLine: options.append,
  });
  const end = options.gdb === undefined ? run(machine) : await runDebugged(machine, options.gdb);
  flushOutput();
  post({ kind: 'ended', end, stats: machine.stats() });
}

try {
  await main();
} catch (error) {
  post({ kind: 'failed', error: describeError(error) });
}
