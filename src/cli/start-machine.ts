/** Starts a machine in a thread of its own and speaks with it (`machine-host.ts` says what the command line expects). */
import { Worker } from 'node:worker_threads';
import { VirtsError } from '../base/errors.ts';
import { openRing } from '../base/ring.ts';
import type { MachineEnd, MachineOptions, RunningMachine, StartMachine } from './machine-host.ts';
import type { RunEnd } from './machine-loop.ts';
import type { FailedError, WorkerMessage, WorkerOptions } from './machine-worker.ts';
import { CONTROL, createChannel, kick } from './worker-channel.ts';

/** This file runs as TypeScript or, when built, as JavaScript: the worker's has the same ending. */
const WORKER = new URL(`./machine-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/**
 * Room for the engine's objects, in MiB. Most die at once: with much room for young ones, memory that no cache of the host
 * holds any more is written. The other figure is what full caches of code need, several times over; V8 lets the heap grow by
 * smaller steps the less it may become.
 */
const HEAP_LIMITS = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 512 };

/** Input that does not fit waits this long before it is tried again, in milliseconds. */
const INPUT_RETRY_MS = 5;

function rebuild({ kind, message, stack }: FailedError): VirtsError {
  const cause = new Error(message);
  if (stack !== undefined) cause.stack = stack;
  return new VirtsError(kind, message, {}, cause);
}

function endOf(end: Exclude<RunEnd, { readonly reason: 'stopped' }>): MachineEnd {
  return { reason: end.reason, status: end.reason === 'debug-exit' ? end.status : 0 };
}

interface Handles {
  readonly worker: Worker;
  readonly control: Int32Array;
}

/** A boot that fails names the file that is to blame; the machine knows its bytes only. */
function naming(error: FailedError, { kernel }: MachineOptions): FailedError {
  return error.kind === 'bad-input' ? { ...error, message: `${kernel.name}: ${error.message}` } : error;
}

/** Resolves when the worker runs guest code; rejects when it could not start. */
function started({ worker }: Handles, options: MachineOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (message: WorkerMessage) => {
      if (message.kind === 'failed') reject(rebuild(naming(message.error, options)));
      else if (message.kind !== 'log') resolve();
      else return;
      worker.off('message', settle);
    };
    worker.on('message', settle);
    worker.once('error', reject);
  });
}

function attach(handles: Handles, input: SharedArrayBuffer, options: MachineOptions): RunningMachine {
  const { worker, control } = handles;
  const ring = openRing(input);
  let deliver: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  let early: Uint8Array[] = [];
  let stats: Record<string, number> = {};

  function taken(count: number): void {
    Atomics.sub(control, CONTROL.unread, count);
    Atomics.notify(control, CONTROL.unread);
  }
  function output(bytes: Uint8Array): void {
    if (deliver === undefined) early.push(bytes);
    else Promise.resolve(deliver(bytes)).then(() => taken(bytes.length));
  }
  let stopped = () => {};
  const hasStopped = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  const ended = new Promise<MachineEnd>((resolve, reject) => {
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'output') output(message.bytes);
      else if (message.kind === 'log') options.debugLog?.(message.line);
      else if (message.kind === 'failed') reject(rebuild(message.error));
      else if (message.kind !== 'started') {
        stats = message.stats;
        stopped();
        if (message.end.reason !== 'stopped') resolve(endOf(message.end));
      }
    });
    worker.once('error', (error) => reject(new VirtsError('internal', 'The thread of the machine failed.', {}, error)));
  });
  // Whoever does not ask for the end must not be troubled by its failure.
  ended.catch(stopped);
  worker.once('exit', stopped);

  return {
    ended,
    onOutput(callback) {
      deliver = callback;
      for (const bytes of early) output(bytes);
      early = [];
    },
    async input(bytes) {
      let rest = bytes;
      while (rest.length > 0) {
        rest = rest.subarray(ring.write(rest));
        kick(control);
        if (rest.length > 0) await new Promise((resolve) => setTimeout(resolve, INPUT_RETRY_MS));
        if (Atomics.load(control, CONTROL.stop) !== 0) return;
      }
    },
    async stop() {
      Atomics.store(control, CONTROL.stop, 1);
      kick(control);
      Atomics.notify(control, CONTROL.unread);
      await hasStopped;
      await worker.terminate();
    },
    statistics: () => stats,
  };
}

export const startMachine: StartMachine = async (options) => {
  const channel = createChannel();
  const data: WorkerOptions = {
    channel,
    kernel: options.kernel.bytes,
    initrd: options.initrd?.bytes,
    append: options.append,
    memory: options.memory,
    translation: options.translation,
    reboot: options.reboot,
    debugLog: options.debugLog !== undefined,
    gdb: options.gdb,
  };
  const worker = new Worker(WORKER, { workerData: data, resourceLimits: HEAP_LIMITS });
  const handles = { worker, control: new Int32Array(channel.control) };
  const machine = attach(handles, channel.input, options);
  await started(handles, options);
  return machine;
};
