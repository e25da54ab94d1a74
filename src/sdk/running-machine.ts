/** The owner's side of a machine in threads of its own, whatever kind of threads the host has. */
import { VirtsError } from '../base/errors.ts';
import { createBuffer } from '../base/shared-memory.ts';
import type { MachineEnd, MachineOptions, RunningMachine } from './machine-host.ts';
import type { RunEnd } from './machine-loop.ts';
import type { ThreadMessage, ThreadOptions } from './machine-thread.ts';
import { createTranslatorLink, type TranslatorLink } from './translator-link.ts';
import type { OwnerEnd } from './worker-channel.ts';
import { type FailedError, rebuildError } from './worker-error.ts';

/** What the translator's thread tells when it cannot go on. */
export interface TranslatorMessage {
  readonly kind: 'failed';
  readonly error: FailedError;
}

/** A thread as the one that started it sees it. */
export interface Thread<Message> {
  listen(listener: {
    message(message: Message): void;
    /** It could not be started, or threw. */
    failed(error: unknown): void;
    /** It is gone; not every host tells. */
    gone?(): void;
  }): void;
  /** Ends it, wherever it is, and resolves when its memory is free. */
  end(): Promise<unknown>;
}

/** The threads of one machine. */
export interface MachineThreads {
  readonly machine: Thread<ThreadMessage>;
  /** Compiles regions for it; absent: the machine's own thread does it. */
  readonly translator: Thread<TranslatorMessage> | undefined;
  readonly end: OwnerEnd & { consumed?(count: number): void };
}

/** What starts threads on a host. */
export interface ThreadStarter {
  /** Whether a thread can translate beside the machine's. */
  readonly parallel: boolean;
  start(options: ThreadOptions): Pick<MachineThreads, 'machine' | 'end'>;
  startTranslator(link: TranslatorLink): Thread<TranslatorMessage>;
  /** Resolves after so many milliseconds. */
  after(ms: number): Promise<unknown>;
}

/** Input that does not fit waits this long before it is tried again, in milliseconds. */
const INPUT_RETRY_MS = 5;
/** A thread that does not answer is ended without its answer, after this time in milliseconds. */
const STOP_PATIENCE_MS = 5000;

/** Boot files are kept by both threads: memory that they share is there once. */
export function bootFileBuffer(bytes: number): Uint8Array {
  return new Uint8Array(createBuffer(bytes));
}

function endOf(end: Exclude<RunEnd, { readonly reason: 'stopped' }>): MachineEnd {
  return { reason: end.reason, status: end.reason === 'debug-exit' ? end.status : 0 };
}

/** A boot that fails names the file that is to blame; the machine knows its bytes only. */
function naming(error: FailedError, { kernel }: MachineOptions): FailedError {
  return error.kind === 'bad-input' ? { ...error, message: `${kernel.name}: ${error.message}` } : error;
}

const lost = (what: string) => (error: unknown) => new VirtsError('internal', what, {}, error);
const machineLost = lost('The thread of the machine failed.');
const translatorLost = lost('The thread that translates code failed.');

/** Hands output on, and tells the machine when it was taken; until somebody asks for it, it waits. */
function outputOf(end: OwnerEnd) {
  let deliver: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  let early: Uint8Array[] = [];
  function output(bytes: Uint8Array): void {
    if (deliver === undefined) early.push(bytes);
    else Promise.resolve(deliver(bytes)).then(() => end.taken(bytes.length));
  }
  function onOutput(callback: NonNullable<typeof deliver>): void {
    deliver = callback;
    for (const bytes of early) output(bytes);
    early = [];
  }
  return { output, onOutput };
}

/** Follows threads that were just started. `started` rejects where the machine cannot boot. */
function attach(threads: MachineThreads, options: MachineOptions, after: ThreadStarter['after']) {
  const { machine, translator, end } = threads;
  const { output, onOutput } = outputOf(end);
  const start = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<MachineEnd>();
  const stopped = Promise.withResolvers<void>();
  let isStarted = false;
  let stopping = false;
  let stats: Record<string, number> = {};

  function fail(error: unknown): void {
    start.reject(error);
    ended.reject(error);
    stopped.resolve();
  }
  machine.listen({
    message(message) {
      if (message.kind === 'output') output(message.bytes);
      else if (message.kind === 'consumed') end.consumed?.(message.count);
      else if (message.kind === 'log') options.debugLog?.(message.line);
      else if (message.kind === 'failed')
        fail(rebuildError(isStarted ? message.error : naming(message.error, options)));
      else if (message.kind === 'started') {
        isStarted = true;
        start.resolve();
      } else {
        stats = message.stats;
        start.resolve();
        stopped.resolve();
        if (message.end.reason !== 'stopped') ended.resolve(endOf(message.end));
      }
    },
    failed: (error) => fail(machineLost(error)),
    gone: stopped.resolve,
  });
  translator?.listen({
    message: ({ error }) => fail(rebuildError(error)),
    failed: (error) => fail(translatorLost(error)),
  });
  // Whoever does not ask for them must not be troubled by failures.
  ended.promise.catch(() => {});
  start.promise.catch(() => {});

  const running: RunningMachine = {
    ended: ended.promise,
    onOutput,
    async input(bytes) {
      let rest = bytes;
      while (rest.length > 0 && !stopping) {
        rest = rest.subarray(end.write(rest));
        if (rest.length > 0) await after(INPUT_RETRY_MS);
      }
    },
    async stop() {
      stopping = true;
      end.stop();
      await Promise.race([stopped.promise, after(STOP_PATIENCE_MS)]);
      await Promise.all([machine.end(), translator?.end()]);
    },
    statistics: () => stats,
  };
  return { started: start.promise, running };
}

/** Code is translated in a thread of its own where that can run beside the machine's, and where nothing is checked. */
function needsTranslator({ translation }: MachineOptions, { parallel }: ThreadStarter): boolean {
  return translation !== undefined && translation.verify === undefined && parallel;
}

/**
 * Starts a machine in threads of a host. Resolves when guest code runs.
 * @throws VirtsError `bad-input`, `no-space`, `unsupported`, `usage`, `io` where it cannot start; its threads are ended then.
 */
export async function startInThreads(options: MachineOptions, starter: ThreadStarter): Promise<RunningMachine> {
  const link = needsTranslator(options, starter) ? createTranslatorLink() : undefined;
  const threads: MachineThreads = {
    ...starter.start({
      kernel: options.kernel.bytes,
      initrd: options.initrd?.bytes,
      append: options.append,
      memory: options.memory,
      cpus: options.cpus,
      translation: options.translation,
      translator: link,
      reboot: options.reboot,
      debugLog: options.debugLog !== undefined,
    }),
    translator: link && starter.startTranslator(link),
  };
  const { started, running } = attach(threads, options, starter.after);
  try {
    await started;
  } catch (error) {
    await Promise.all([threads.machine.end(), threads.translator?.end()]);
    throw error;
  }
  return running;
}
