/**
 * The life of a machine that a program has: made, started, paused, ended, started again, closed. It is the same in Node and in a page;
 * what a run consists of is the host's.
 */
import { VirtsError } from '../base/errors.ts';
import { inTurn } from '../base/in-turn.ts';
import { unlessAborted } from '../base/unless-aborted.ts';
import { type ConsoleFeed, createConsole, type MachineConsole } from './console.ts';
import { type ConsoleHub, type ConsolePort, createConsoleHub } from './console-hub.ts';
import { endSentence } from './end-sentence.ts';
import { createEvents, type Events } from './events.ts';
import type { MachineEnd } from './machine-host.ts';

/**
 * `created`: it has not been started. `starting`: what it needs is opened. `running`, `paused`. `ended`: it can be started again.
 * `closed`: it cannot.
 */
export type MachineState = 'created' | 'starting' | 'running' | 'paused' | 'ended' | 'closed';

/** What a machine tells, and with what. */
export interface MachineEvents {
  /** Guest code runs. */
  readonly started: undefined;
  readonly paused: undefined;
  readonly resumed: undefined;
  /** The run is over, its threads are gone, and what the guest wrote to its disks is stable. */
  readonly ended: MachineEnd;
  /** The run is over because the monitor could not go on, or because something that was written could not be made stable. */
  readonly failed: VirtsError;
  /** A sentence that somebody should read, such as that the host's disk is full. The machine goes on. */
  readonly warning: string;
}

export interface StartOptions {
  /** Ends the preparations, which may take long where something has to be downloaded. `start` then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface StopOptions {
  /** Milliseconds that the guest may take to shut down, from 0 up; 30,000 unless told. Then it is killed. */
  readonly timeout?: number | undefined;
}

export interface WaitOptions {
  /** Ends the waiting, which then rejects with its reason. The machine goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** What can be asked of a machine wherever it runs. */
export interface MachineLife {
  readonly state: MachineState;
  /**
   * Starts it, or starts it again after its end. Resolves when guest code runs: the guest has yet to boot. Where it runs already,
   * nothing is done.
   * @throws VirtsError for what cannot be opened or started; nothing is open then.
   */
  start(options?: StartOptions): Promise<void>;
  /**
   * Has all vCPUs stand still between two instructions, and machine time with them; resolves when they do.
   * @throws VirtsError `usage` where it does not run.
   */
  pause(): Promise<void>;
  /** Goes on after `pause`. @throws VirtsError `usage` where it does not run. */
  resume(): Promise<void>;
  /**
   * Asks the guest to shut down and waits for its end; one that takes too long is killed.
   * @returns how it ended: `killed` where it took too long.
   * @throws VirtsError as `wait`.
   */
  stop(options?: StopOptions): Promise<MachineEnd>;
  /** Ends it at once, as pulling the plug does. Resolves when all is closed. @throws VirtsError as `wait`. */
  kill(): Promise<MachineEnd>;
  /**
   * Waits until the machine has ended.
   * @returns how it ended; at once, and of the last run, where it does not run.
   * @throws VirtsError when the monitor could not go on (`internal`) or a disk could not be made stable (`io`, `no-space`); `usage` where
   * it was never started.
   */
  wait(options?: WaitOptions): Promise<MachineEnd>;
  /**
   * Opens the console. Several may be open: each gets all output from the last 4 KiB before it was opened on; what was written before
   * anybody opened one is lost but for that, and does not make the guest wait. One that is opened before the start sees all.
   */
  console(): MachineConsole;
  /** Calls `listener` at each event of a kind; returns what ends that. */
  on<Name extends keyof MachineEvents>(name: Name, listener: (detail: MachineEvents[Name]) => void): () => void;
  /**
   * Ends the machine, if it runs, as `kill` does, and gives back all that it has: memory, threads, sockets, and its disk unless
   * that is kept. May be called again.
   * @throws VirtsError `io`, `no-space` when something that the guest wrote to a disk that is kept could not be made stable.
   */
  close(): Promise<void>;
  /** `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A run as the host has it. */
export interface Run extends ConsolePort {
  /** Rejects with a VirtsError when the monitor cannot go on. */
  readonly ended: Promise<MachineEnd>;
  pause(): Promise<void>;
  resume(): void;
  askToShutDown(): void;
  /** Ends the threads and closes all. @throws VirtsError when a disk could not be made stable. */
  close(): Promise<void>;
}

export interface LifeHost<R extends Run> {
  open(signal: AbortSignal): Promise<R>;
  /** Gives up what outlives a run. */
  close(): Promise<void>;
  /** Calls back after so many milliseconds; returns what prevents that. */
  after(ms: number, callback: () => void): () => void;
}

/** A run that is there. */
interface Current<R extends Run> {
  readonly run: R;
  /** Settles when all is closed. */
  readonly over: Promise<MachineEnd>;
  /** Has it end in that way. */
  kill(): void;
  readonly isOver: boolean;
}

/** The life of a machine, and what a host makes the rest of the machine with. */
export interface Life<R extends Run> {
  readonly machine: MachineLife;
  readonly events: Events<MachineEvents>;
  /** The present run, if there is one that is not over. */
  run(): R | undefined;
  /**
   * Does something with the present run. What it throws because the machine ended meanwhile becomes an error that says so.
   * @throws VirtsError `usage` where none is there; `guest-stopped`.
   */
  during<T>(what: string, work: (run: R) => Promise<T>): Promise<T>;
}

const STOP_MS = 30_000;

const notRunning = () => new VirtsError('usage', 'The machine does not run; start it first.');
const wasClosed = () => new VirtsError('usage', 'The machine was closed; create another one.');

const known = (error: unknown): VirtsError =>
  error instanceof VirtsError
    ? error
    : new VirtsError('internal', `Virts met a defect of its own: ${error}`, {}, error);

/** The longest time that timers of hosts take; longer ones would be over at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** A time that a timer can wait. @throws VirtsError `usage` for what is none. */
export function timerMs(ms: number): number {
  if (ms >= 0) return Math.min(ms, LONGEST_MS);
  throw new VirtsError('usage', `A timeout is a number of milliseconds from 0 up, not ${ms}.`);
}

/** Output for all consoles that are open: the guest waits for the slowest. */
function createConsoles() {
  const feeds = new Set<ConsoleFeed>();
  let hub: ConsoleHub | undefined;
  return {
    connect(port: ConsolePort): void {
      hub = createConsoleHub(port, () => {});
      hub.onOutput((bytes) => {
        const full = [...feeds].map((feed) => feed.push(bytes)).filter((room) => room !== undefined);
        return full.length === 0 ? undefined : Promise.all(full).then(() => {});
      });
    },
    end(): void {
      hub = undefined;
      for (const feed of feeds) feed.end();
      feeds.clear();
    },
    open(): MachineConsole {
      const { console, feed } = createConsole({
        input(bytes) {
          if (hub === undefined) throw notRunning();
          return hub.input(bytes);
        },
        closed: () => void feeds.delete(feed),
      });
      feeds.add(feed);
      if (hub !== undefined) feed.push(hub.recent());
      return console;
    },
  };
}

/** Gives a machine its life. */
export function createLife<R extends Run>(host: LifeHost<R>): Life<R> {
  const events = createEvents<MachineEvents>();
  const consoles = createConsoles();
  let state: MachineState = 'created';
  let current: Current<R> | undefined;
  let starting: { readonly done: Promise<void>; readonly cancel: AbortController } | undefined;
  let closing: Promise<void> | undefined;
  /** A pause that is undone before all threads stand would be waited for in vain. */
  const paused = inTurn();

  /** Sees a run to its end. */
  function follow(run: R): Current<R> {
    const killed = Promise.withResolvers<MachineEnd>();
    let isOver = false;
    async function finish(): Promise<MachineEnd> {
      let end: MachineEnd | undefined;
      let failure: VirtsError | undefined;
      try {
        end = await Promise.race([run.ended, killed.promise]);
      } catch (error) {
        failure = known(error);
      }
      isOver = true;
      try {
        await run.close();
      } catch (error) {
        failure ??= known(error);
      }
      state = 'ended';
      consoles.end();
      if (failure !== undefined) {
        events.emit('failed', failure);
        throw failure;
      }
      events.emit('ended', end!);
      return end!;
    }
    const over = finish();
    // Whoever does not wait for it must not be troubled by a failure.
    over.catch(() => {});
    return {
      ...{ run, over },
      kill: () => killed.resolve({ reason: 'killed', status: 0 }),
      get isOver() {
        return isOver;
      },
    };
  }

  async function launch(signal: AbortSignal): Promise<void> {
    const before = state;
    state = 'starting';
    try {
      const run = await host.open(signal);
      if (signal.aborted) {
        await run.close();
        throw signal.reason;
      }
      consoles.connect(run);
      current = follow(run);
      state = 'running';
    } catch (error) {
      state = before;
      throw error;
    } finally {
      starting = undefined;
    }
    events.emit('started', undefined);
  }

  /** The run, if there is one that is not over. */
  function present(): Current<R> {
    if (state === 'closed') throw wasClosed();
    if (current === undefined || current.isOver) throw notRunning();
    return current;
  }

  const pause = () =>
    paused(async () => {
      const { run } = present();
      if (state === 'paused') return;
      state = 'paused';
      await run.pause();
      // It may have come to its end instead.
      if (present().run === run) events.emit('paused', undefined);
    });

  const resume = () =>
    paused(async () => {
      const { run } = present();
      if (state !== 'paused') return;
      run.resume();
      state = 'running';
      events.emit('resumed', undefined);
    });

  async function wait({ signal }: WaitOptions = {}): Promise<MachineEnd> {
    if (current === undefined) throw notRunning();
    return unlessAborted(signal, current.over);
  }

  async function kill(): Promise<MachineEnd> {
    current?.kill();
    return wait();
  }

  async function close(): Promise<void> {
    starting?.cancel.abort(wasClosed());
    await starting?.done.catch(() => {});
    const running = current?.isOver === false ? current : undefined;
    running?.kill();
    try {
      await (running ?? current)?.over.catch((error: unknown) => {
        // Of a run that was over before, others have heard.
        if (running !== undefined) throw error;
      });
    } finally {
      state = 'closed';
      consoles.end();
      await host.close();
    }
  }
  function closeOnce(): Promise<void> {
    closing ??= close();
    return closing;
  }

  const machine: MachineLife = {
    get state() {
      return state;
    },
    async start({ signal } = {}) {
      if (closing !== undefined) throw wasClosed();
      signal?.throwIfAborted();
      if (starting === undefined) {
        // One that is ending is waited for.
        if (current?.isOver === true) await current.over.catch(() => {});
        if (state === 'running' || state === 'paused') return;
      }
      if (starting !== undefined) return unlessAborted(signal, starting.done);
      const cancel = new AbortController();
      const all = signal === undefined ? cancel.signal : AbortSignal.any([signal, cancel.signal]);
      starting = { cancel, done: launch(all) };
      await starting.done;
    },
    pause,
    resume,
    async stop({ timeout = STOP_MS } = {}) {
      const ms = timerMs(timeout);
      if (current === undefined || current.isOver) return wait();
      const { run, over, kill: give } = current;
      await resume().catch(() => {});
      const forget = host.after(ms, give);
      run.askToShutDown();
      try {
        return await over;
      } finally {
        forget();
      }
    },
    kill,
    wait,
    console: consoles.open,
    on: events.on,
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
  return {
    machine,
    events,
    run: () => (current?.isOver === false ? current.run : undefined),
    async during(what, work) {
      const own = present();
      const gone = own.over.then(
        ({ reason }) => {
          throw new VirtsError('guest-stopped', `The machine ended before ${what}: ${endSentence(reason)}`, {
            reason,
          });
        },
        (error: unknown) => {
          throw new VirtsError('guest-stopped', `The machine ended before ${what}: ${known(error).message}`, {}, error);
        },
      );
      gone.catch(() => {});
      const done = work(own.run);
      done.catch(() => {});
      try {
        return await Promise.race([done, gone]);
      } catch (error) {
        // What broke because the machine ended says less than the end.
        if (error instanceof VirtsError && error.kind === 'network' && own.isOver) return gone;
        throw error;
      }
    },
  };
}

/** Starts a machine that was just made; where that fails it is closed. @throws VirtsError as `machine.start`. */
export async function startNew<M extends MachineLife>(machine: M, signal: AbortSignal | undefined): Promise<M> {
  try {
    await machine.start({ signal });
    return machine;
  } catch (error) {
    await machine.close();
    throw error;
  }
}
