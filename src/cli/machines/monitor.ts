/**
 * Runs one machine in this process: opens what its configuration names, starts it, keeps its state on disk true, and serves its
 * control socket. The same for a terminal, a process of its own, and a program that embeds machines.
 */
import { join } from 'node:path';
import { ERROR_KINDS, VirtsError } from '../../base/errors.ts';
import { inTurn } from '../../base/in-turn.ts';
import type { Progress } from '../../images/apt/progress.ts';
import { type ConsoleHub, createConsoleHub } from '../../sdk/console-hub.ts';
import { endSentence } from '../../sdk/end-sentence.ts';
import type { MachineEnd, MachineOptions, RunningMachine } from '../../sdk/machine-host.ts';
import { exitStatus } from '../../sdk/node/exit-status.ts';
import { processorTime } from '../../sdk/node/figures.ts';
import { layeredDisk } from '../../sdk/node/image-disk.ts';
import { type LiveMachine, startLive } from '../../sdk/node/live-machine.ts';
import { chosenPorts } from '../../sdk/node/network.ts';
import type { Configuration } from '../../vm/configuration.ts';
import type { Environment } from '../environment.ts';
import { type ConsoleLog, openConsoleLog } from './console-log.ts';
import type { Ending, Event } from './control-protocol.ts';
import { type Controlled, type ControlServer, serveControl } from './control-server.ts';
import { FILES } from './files.ts';
import { checkImageFiles } from './image-files.ts';
import { type MachineRecord, type Status, writeStatus } from './state-directory.ts';

/** How a run ended: the guest by itself, or by what somebody asked of the control socket. */
export type Outcome = { readonly kind: 'guest'; readonly end: MachineEnd } | { readonly kind: 'killed' };

export interface MonitorOptions {
  readonly configuration: Configuration;
  /** Whose state is kept; this process holds it. Absent where the host has no place for that. */
  readonly machine: MachineRecord | undefined;
  readonly environment: Pick<Environment, 'env' | 'startMachine'>;
  readonly progress: Progress;
  /** Ends the preparations. */
  readonly signal: AbortSignal;
  /** Takes sentences for the user. */
  report(message: string): void;
  /** Called as the guest begins to run, before it can have written anything that is not there any more. */
  started?(console: ConsoleHub): void;
  readonly debugLog?: ((line: string) => void) | undefined;
  readonly gdb?: MachineOptions['gdb'];
  /** Ask the archive for newer packages of the default guest. */
  readonly refresh?: boolean | undefined;
}

export interface Monitor extends Controlled {
  readonly running: RunningMachine;
  /** Rejects with a VirtsError when the machine cannot go on. */
  readonly outcome: Promise<Outcome>;
  /**
   * Ends the machine if need be, closes what it had open, and keeps how it ended; may be called again.
   * @throws VirtsError when something that the guest wrote could not be made stable.
   */
  close(ending: Ending): Promise<void>;
}

/** The exit status of what was killed, as a shell has it for SIGKILL. */
const KILLED = 137;
export const KILLED_ENDING: Ending = { exitStatus: KILLED, message: 'The machine was killed.' };

/** The ending that an error is. */
export function failedEnding(error: unknown): Ending {
  const message = error instanceof Error ? error.message : String(error);
  return { exitStatus: ERROR_KINDS[error instanceof VirtsError ? error.kind : 'internal'], message };
}

/** Ends that the guest did not mean. */
const SENTENCES: Partial<Record<MachineEnd['reason'], string>> = {
  'triple-fault': endSentence('triple-fault'),
  killed: 'The debugger ended the guest.',
  halted: endSentence('halted'),
};

export function endingOf(outcome: Outcome): Ending {
  if (outcome.kind === 'killed') return KILLED_ENDING;
  const message = SENTENCES[outcome.end.reason];
  return { exitStatus: exitStatus(outcome.end), ...(message !== undefined && { message }) };
}

/** Writes the status of a machine, if it has one; changes follow one another. */
function statusKeeper(machine: MachineRecord | undefined) {
  let status: Status = { state: 'starting', pid: process.pid, started: new Date().toISOString() };
  const written = inTurn();
  return {
    async put(change: Partial<Status>): Promise<void> {
      status = { ...status, ...change };
      const next = status;
      if (machine !== undefined) await written(() => writeStatus(machine, next));
    },
  };
}

/** What others may ask of a running machine, which also changes what is kept of it. */
function controls(live: LiveMachine, status: ReturnType<typeof statusKeeper>, debugged: boolean) {
  const { running } = live;
  const listeners = new Set<(event: Event) => void>();
  const ended = Promise.withResolvers<Ending>();
  const outcome = Promise.withResolvers<Outcome>();
  running.ended.then((end) => outcome.resolve({ kind: 'guest', end }), outcome.reject);
  outcome.promise.catch(() => {});
  let paused = false;
  /** A pause that is undone before all threads stand would be waited for in vain. */
  const turns = inTurn();

  const tell = (event: Event) => {
    for (const listener of [...listeners]) listener(event);
  };
  const resume = () =>
    turns(async () => {
      if (!paused) return;
      paused = false;
      running.resume();
      await status.put({ state: 'running' });
      tell({ event: 'resumed' });
    });
  const pause = () =>
    turns(async () => {
      if (paused) return;
      paused = true;
      await running.pause();
      await status.put({ state: 'paused' });
      tell({ event: 'paused' });
    });
  function kill(): Promise<Ending> {
    outcome.resolve({ kind: 'killed' });
    return ended.promise;
  }
  return {
    ended,
    outcome: outcome.promise,
    tell,
    controlled: {
      ended: ended.promise,
      kill,
      resume,
      async pause() {
        if (debugged) throw new VirtsError('usage', 'A debugger stops and continues this machine; use its commands.');
        await pause();
      },
      async stop(timeout: number) {
        await resume();
        const patience = setTimeout(kill, timeout);
        live.askToShutDown();
        try {
          return await ended.promise;
        } finally {
          clearTimeout(patience);
        }
      },
      async balloon(bytes: number) {
        running.setBalloon(bytes);
      },
      watch(listener: (event: Event) => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
  };
}

/** Sentences that are kept for whoever asks later. */
const MOST_TOLD = 20;

/** Keeps what is reported: who started a machine in the background is gone, and where its disk is full no file takes a word. */
function keepReports(report: (message: string) => void) {
  const told: string[] = [];
  return {
    told,
    report(message: string): void {
      if (told.length === MOST_TOLD) told.shift();
      told.push(message);
      report(message);
    },
  };
}

/** The machine as the monitor's options describe it. */
function startOf(options: MonitorOptions): Promise<LiveMachine> {
  const { configuration, machine, environment, progress, signal, report } = options;
  if (machine !== undefined) checkImageFiles(machine);
  const doors = [machine && join(machine.directory, FILES.vsock), configuration.vsock];
  return startLive({
    ...{ configuration, ...environment, progress, signal, report },
    imageFiles: machine?.madeFrom,
    disk: machine?.madeFrom?.disk === undefined ? undefined : layeredDisk(join(machine.directory, FILES.disk)),
    sockets: doors.filter((path) => path !== undefined),
    ...{ refresh: options.refresh, debugLog: options.debugLog },
    ...(options.gdb && { gdb: options.gdb }),
  });
}

/**
 * Starts a machine. Resolves when the guest runs.
 * @throws VirtsError for what cannot be opened or started; nothing is open then.
 */
export async function startMonitor(given: MonitorOptions): Promise<Monitor> {
  const { told, report } = keepReports(given.report);
  const options = { ...given, report };
  const { machine } = options;
  const status = statusKeeper(machine);
  let live: LiveMachine | undefined;
  let log: ConsoleLog | undefined;
  let server: ControlServer | undefined;
  try {
    await status.put({});
    live = await startOf(options);
    chosenPorts(options.configuration.network.publish, live.network?.forwards ?? []).forEach(options.report);
    if (machine !== undefined) log = openConsoleLog(join(machine.directory, FILES.console));
    const console = createConsoleHub(live.running, (bytes) => log?.write(bytes));
    options.started?.(console);
    const { ended, outcome, tell, controlled } = controls(live, status, options.gdb !== undefined);
    const monitored = {
      ...{ ...controlled, console, stats: live.figures },
      processor: async () => processorTime(),
      messages: async () => told,
    };
    if (machine !== undefined) server = await serveControl(join(machine.directory, FILES.control), monitored);
    await status.put({ state: 'running' });
    let closing: Promise<void> | undefined;
    const parts = { live, log, server };
    async function close(ending: Ending): Promise<void> {
      let final = ending;
      try {
        await parts.live.close();
      } catch (error) {
        final = failedEnding(error);
        throw error;
      } finally {
        parts.log?.close();
        const { exitStatus, message } = final;
        await status
          .put({ state: 'exited', ended: new Date().toISOString(), exitStatus, message })
          .catch(options.report);
        ended.resolve(final);
        tell({ event: 'ended', ending: final });
        await parts.server?.close();
      }
    }
    return {
      ...monitored,
      running: live.running,
      outcome,
      close(ending) {
        closing ??= close(ending);
        return closing;
      },
    };
  } catch (error) {
    await server?.close();
    await live?.close().catch(() => {});
    log?.close();
    const { exitStatus, message } = failedEnding(error);
    await status.put({ state: 'exited', ended: new Date().toISOString(), exitStatus, message }).catch(() => {});
    throw error;
  }
}
