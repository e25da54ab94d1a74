/** Starts a machine in a thread of its own and speaks with it (`sdk/machine-host.ts` says what can be asked of it). */
import { availableParallelism } from 'node:os';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { VirtsError } from '../base/errors.ts';
import { openRing } from '../base/ring.ts';
import type { MachineEnd, MachineOptions, RunningMachine, StartMachine } from '../sdk/machine-host.ts';
import type { RunEnd } from '../sdk/machine-loop.ts';
import { createTranslatorLink, type TranslatorLink } from '../sdk/translator-link.ts';
import { CONTROL, createChannel, kick } from '../sdk/worker-channel.ts';
import { type FailedError, rebuildError } from '../sdk/worker-error.ts';
import type { WorkerMessage, WorkerOptions } from './machine-worker.ts';
import type { TranslatorMessage } from './translator-worker.ts';

/** This file runs as TypeScript or, when built, as JavaScript: the workers' have the same ending. */
const fileOf = (name: string) =>
  new URL(`./${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/**
 * Room for the engine's objects, in MiB. Most die at once: with much room for young ones, memory that no cache of the host
 * holds any more is written. The other figure is what full caches of code need, several times over; V8 lets the heap grow by
 * smaller steps the less it may become.
 */
const HEAP_LIMITS = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 512 };

/** The same for what compiles regions: what it makes dies with each region. */
const TRANSLATOR_LIMITS = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 };

/** Input that does not fit waits this long before it is tried again, in milliseconds. */
const INPUT_RETRY_MS = 5;

function endOf(end: Exclude<RunEnd, { readonly reason: 'stopped' }>): MachineEnd {
  return { reason: end.reason, status: end.reason === 'debug-exit' ? end.status : 0 };
}

interface Handles {
  readonly worker: Worker;
  /** Compiles regions for it. */
  readonly translator: Worker | undefined;
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
      if (message.kind === 'failed') reject(rebuildError(naming(message.error, options)));
      else if (message.kind !== 'log') resolve();
      else return;
      worker.off('message', settle);
    };
    worker.on('message', settle);
    worker.once('error', reject);
  });
}

function attach(handles: Handles, input: SharedArrayBuffer, options: MachineOptions): RunningMachine {
  const { worker, translator, control } = handles;
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
      else if (message.kind === 'failed') reject(rebuildError(message.error));
      else if (message.kind !== 'started') {
        stats = message.stats;
        stopped();
        if (message.end.reason !== 'stopped') resolve(endOf(message.end));
      }
    });
    worker.once('error', (error) => reject(new VirtsError('internal', 'The thread of the machine failed.', {}, error)));
    translator?.once('message', ({ error }: TranslatorMessage) => reject(rebuildError(error)));
    translator?.once('error', (error) =>
      reject(new VirtsError('internal', 'The thread that translates code failed.', {}, error)),
    );
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
      await Promise.all([worker.terminate(), translator?.terminate()]);
    },
    statistics: () => stats,
  };
}

/** Code is translated in a thread of its own where that can run beside the machine's, and where nothing is checked. */
function needsTranslator({ translation }: MachineOptions): boolean {
  return translation !== undefined && translation.verify === undefined && availableParallelism() > 1;
}

function startWorkers(options: MachineOptions): Handles & { readonly input: SharedArrayBuffer } {
  const channel = createChannel();
  const link = needsTranslator(options) ? createTranslatorLink() : undefined;
  const data: WorkerOptions = {
    channel,
    kernel: options.kernel.bytes,
    initrd: options.initrd?.bytes,
    append: options.append,
    memory: options.memory,
    cpus: options.cpus,
    translation: options.translation,
    translator: link,
    reboot: options.reboot,
    debugLog: options.debugLog !== undefined,
    gdb: options.gdb,
  };
  const start = (file: string, workerData: WorkerOptions | TranslatorLink, resourceLimits: ResourceLimits) =>
    new Worker(fileOf(file), { workerData, resourceLimits });
  return {
    worker: start('machine-worker', data, HEAP_LIMITS),
    translator: link && start('translator-worker', link, TRANSLATOR_LIMITS),
    control: new Int32Array(channel.control),
    input: channel.input,
  };
}

export const startMachine: StartMachine = async (options) => {
  const { input, ...handles } = startWorkers(options);
  const machine = attach(handles, input, options);
  try {
    await started(handles, options);
  } catch (error) {
    await handles.translator?.terminate();
    throw error;
  }
  return machine;
};
