/** The owner's side of a machine in threads of its own, whatever kind of threads the host has. */
import { VirtsError } from '../base/errors.ts';
import { sumFigures } from '../base/figures.ts';
import { createBuffer } from '../base/shared-memory.ts';
import { createIoLink, type IoService } from '../memory/io-link.ts';
import { createSharedMemory, PAGE_SIZE } from '../memory/layout.ts';
import type { CardOptions } from '../network/link.ts';
import type { MachineEnd, MachineNetwork, MachineOptions, RunningMachine } from './machine-host.ts';
import type { RunEnd } from './machine-loop.ts';
import type { LinkedDisk, LinkedFolder, ThreadMessage, ThreadOptions } from './machine-thread.ts';
import { createTranslatorLinks, type TranslatorLink } from './translator-link.ts';
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

/** What starts the threads of one machine on a host. */
export interface ThreadStarter {
  /** Whether several threads can run side by side over shared memory. */
  readonly parallel: boolean;
  /** The owner's end of the channel to the machine's threads. */
  readonly end: OwnerEnd & { consumed?(count: number): void };
  start(options: ThreadOptions): Thread<ThreadMessage>;
  startTranslator(links: readonly TranslatorLink[]): Thread<TranslatorMessage>;
  /** Resolves after so many milliseconds. */
  after(ms: number): Promise<unknown>;
  /** Gives the host back what lies in a memory that no thread uses any more, though it may be long until it is collected. */
  release?(memory: ArrayBufferLike): void;
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

/** Back ends, which are served once there is memory to transfer from and to. */
interface BackEnds {
  readonly disks: readonly LinkedDisk[];
  readonly folders: readonly LinkedFolder[];
  serve(memory: ArrayBufferLike): void;
  /** Resolves when nothing is under way any more. The machine's threads must have ended. */
  close(): Promise<unknown>;
}

function linkBackEnds({ disks = [], folders = [] }: MachineOptions, end: OwnerEnd): BackEnds {
  const linkedDisks = disks.map(({ shape, serial }) => ({ shape, serial, link: createIoLink() }));
  const linkedFolders = folders.map(({ tag }) => ({ tag, link: createIoLink() }));
  let services: IoService[] = [];
  return {
    disks: linkedDisks,
    folders: linkedFolders,
    serve(memory) {
      const { control } = end;
      services = [
        ...disks.map((disk, i) => disk.serve(linkedDisks[i]!.link, memory, end.wake)),
        ...(control === undefined ? [] : folders.map((one, i) => one.serve(linkedFolders[i]!.link, memory, control))),
      ];
    },
    close: () => Promise.all(services.map((service) => service.close())),
  };
}

/** What the threads of one machine tell together. */
function followThreads(options: MachineOptions, backEnds: BackEnds, { end, after, release }: ThreadStarter) {
  const { output, onOutput } = outputOf(end);
  const start = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<MachineEnd>();
  const threads: (Thread<ThreadMessage> | Thread<TranslatorMessage>)[] = [];
  /** Resolved as each of the machine's threads has stopped by itself. */
  const stopped: Promise<void>[] = [];
  let stopping = false;
  let guestMemory: ArrayBufferLike | undefined;
  /** The last figures of each of the machine's threads, and what waits for the next ones. */
  const figures: Readonly<Record<string, number>>[] = [];
  const reported: (() => void)[] = [];
  /** Odd while the machine is to stand still; of each thread, the last such number at which it stood. */
  let pauses = 0;
  const stood: number[] = [];
  const standing: (() => void)[] = [];

  function fail(error: unknown): void {
    start.reject(error);
    ended.reject(error);
  }
  /** The first thread of the machine tells of its start and its end. */
  function follow(thread: Thread<ThreadMessage>): void {
    const done = Promise.withResolvers<void>();
    const number = stopped.length;
    threads.push(thread);
    stopped.push(done.promise);
    const failed = (error: unknown) => {
      fail(error);
      done.resolve();
    };
    thread.listen({
      message(message) {
        if (message.kind === 'output') output(message.bytes);
        else if (message.kind === 'consumed') end.consumed?.(message.count);
        else if (message.kind === 'log') options.debugLog?.(message.line);
        else if (message.kind === 'failed') failed(rebuildError(naming(message.error, options)));
        else if (message.kind === 'started') {
          // The first thread is the first to tell.
          if (guestMemory === undefined && message.memory !== undefined) backEnds.serve(message.memory);
          guestMemory ??= message.memory;
          start.resolve();
        } else if (message.kind === 'standing') {
          stood[number] = message.count;
          standing[number]?.();
        } else if (message.kind === 'figures') {
          figures[number] = message.stats;
          reported[number]?.();
        } else {
          figures[number] = message.stats;
          start.resolve();
          done.resolve();
          if (message.end.reason !== 'stopped') ended.resolve(endOf(message.end));
        }
      },
      failed: (error) => failed(machineLost(error)),
      gone: done.resolve,
    });
  }
  function followTranslator(thread: Thread<TranslatorMessage>): void {
    threads.push(thread);
    thread.listen({
      message: ({ error }) => fail(rebuildError(error)),
      failed: (error) => fail(translatorLost(error)),
    });
  }
  // Whoever does not ask for them must not be troubled by failures.
  ended.promise.catch(() => {});
  start.promise.catch(() => {});

  const endThreads = () => Promise.all(threads.map((thread) => thread.end()));
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
      await Promise.race([Promise.all(stopped), after(STOP_PATIENCE_MS)]);
      await endThreads();
      await backEnds.close();
      if (guestMemory !== undefined) release?.(guestMemory);
      guestMemory = undefined;
    },
    async pause() {
      if (pauses % 2 === 0) end.pause(++pauses);
      const count = pauses;
      const threadsStand = stopped.map((gone, number) => {
        if (stood[number] === count) return undefined;
        const stands = Promise.withResolvers<void>();
        const before = standing[number];
        standing[number] = () => {
          before?.();
          stands.resolve();
        };
        return Promise.race([stands.promise, gone]);
      });
      await Promise.all(threadsStand);
    },
    resume() {
      if (pauses % 2 !== 0) end.pause(++pauses);
    },
    pressPowerButton: () => end.pressPowerButton(),
    setBalloon: (bytes) => end.inflate(Math.floor(bytes / PAGE_SIZE)),
    async refreshStatistics() {
      const answers = stopped.map((gone, number) => {
        const answer = Promise.withResolvers<void>();
        reported[number] = answer.resolve;
        return Promise.race([answer.promise, gone]);
      });
      end.report();
      await Promise.all(answers);
    },
    statistics: () => sumFigures(figures),
  };
  return { started: start.promise, running, follow, followTranslator, endThreads };
}

/** Code is translated in a thread of its own where that can run beside the machine's, and where nothing is checked. */
function needsTranslator({ translation }: MachineOptions, { parallel }: ThreadStarter): boolean {
  return translation !== undefined && translation.verify === undefined && parallel;
}

/**
 * vCPUs have threads of their own where these can run side by side; but what checks translations, and a debugger, want all
 * in one, where they take turns.
 */
function needsVcpuThreads({ cpus, translation, gdb }: MachineOptions, { parallel }: ThreadStarter): boolean {
  return cpus > 1 && parallel && translation?.verify === undefined && gdb === undefined;
}

/** What a thread is told of the network card: functions stay here. */
const cardOf = ({ link, mac, mtu }: MachineNetwork): CardOptions => ({ link, mac, mtu });

/**
 * Starts a machine in threads of a host. Resolves when guest code runs.
 * @throws VirtsError `bad-input`, `no-space`, `unsupported`, `usage`, `io` where it cannot start; its threads are ended then.
 */
export async function startInThreads(options: MachineOptions, starter: ThreadStarter): Promise<RunningMachine> {
  const memory = needsVcpuThreads(options, starter) ? createSharedMemory() : undefined;
  const vcpus = memory === undefined ? 1 : options.cpus;
  const links = needsTranslator(options, starter) ? createTranslatorLinks(vcpus) : undefined;
  const backEnds = linkBackEnds(options, starter.end);
  const { started, running, follow, followTranslator, endThreads } = followThreads(options, backEnds, starter);
  const startThread = (number: number) =>
    follow(
      starter.start({
        kernel: options.kernel,
        initrd: options.initrd,
        append: options.append,
        memory: options.memory,
        cpus: options.cpus,
        disks: backEnds.disks,
        folders: backEnds.folders,
        vcpu: memory && { number, memory },
        translation: options.translation,
        translator: links?.[number],
        network: options.network && cardOf(options.network),
        vsock: options.vsock && { link: options.vsock.link, cid: options.vsock.cid },
        reboot: options.reboot,
        debugLog: options.debugLog !== undefined,
      }),
    );
  startThread(0);
  if (links !== undefined) followTranslator(starter.startTranslator(links));
  try {
    await started;
  } catch (error) {
    await endThreads();
    throw error;
  }
  // The others find what the first has made.
  for (let number = 1; number < vcpus; number++) startThread(number);
  return running;
}
