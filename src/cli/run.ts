/** `virts run` and `virts debug`: start a machine, put it on the terminal, wait for its end. */
import { setTimeout } from 'node:timers/promises';
import { ERROR_KINDS, VirtsError } from '../base/errors.ts';
import { unlessAborted } from '../base/unless-aborted.ts';
import { machinesDirectory } from '../images/directories.ts';
import type { RunningMachine } from '../sdk/machine-host.ts';
import { bootFiles, closeBootFiles } from '../sdk/node/boot-files.ts';
import { openOrPull } from '../sdk/node/pull.ts';
import type { Configuration } from '../vm/configuration.ts';
import type { Environment } from './environment.ts';
import { Interrupted, interruptible } from './interrupt.ts';
import { type Log, lineEnd, openLog } from './log-file.ts';
import { configurationOf, type MachineSettings } from './machines/configure.ts';
import type { Ending } from './machines/control-protocol.ts';
import { makeFromImage } from './machines/image-files.ts';
import { launch } from './machines/launch.ts';
import { endingOf, failedEnding, type Monitor, type MonitorOptions, startMonitor } from './machines/monitor.ts';
import {
  type HeldMachine,
  hold,
  isUp,
  type MachineRecord,
  type MachineStore,
  openMachineStore,
  statusOf,
} from './machines/state-directory.ts';
import { showProgress } from './progress.ts';
import { statisticsLines } from './statistics.ts';
import { type Attachment, attach } from './terminal.ts';

export interface RunOptions extends MachineSettings {
  readonly file?: string;
  readonly detach?: boolean;
  readonly refresh?: boolean;
  readonly gdb?: number;
  readonly stats?: boolean;
}

/** Tells of the end and gives its exit status. @throws VirtsError `guest-stopped` when the guest hangs for ever. */
function conclude({ exitStatus, message }: Ending, { stderr }: Environment): number {
  if (exitStatus === ERROR_KINDS['guest-stopped'] && message !== undefined)
    throw new VirtsError('guest-stopped', message);
  if (message !== undefined) stderr.write(`virts: ${message}\n`);
  return exitStatus;
}

function printStatistics(machine: RunningMachine, started: number, { stderr }: Environment): void {
  const seconds = (performance.now() - started) / 1000;
  const lines = statisticsLines(machine.statistics?.() ?? {}, seconds);
  stderr.write(lines.map((line) => `virts: ${line}\n`).join(''));
}

/** Prints figures whenever SIGUSR2 comes, until the function that it returns is called. */
function printOnSignal(machine: RunningMachine, started: number, environment: Environment): () => void {
  let waits = false;
  let over = false;
  const print = async (): Promise<void> => {
    if (waits || machine.refreshStatistics === undefined) return;
    waits = true;
    await machine.refreshStatistics();
    waits = false;
    if (!over) printStatistics(machine, started, environment);
  };
  const listener = () => void print();
  environment.signals.on('SIGUSR2', listener);
  return () => {
    over = true;
    environment.signals.off('SIGUSR2', listener);
  };
}

/** Runs a started machine on the terminal until it ends or the user leaves; returns how it ended. */
async function converse(
  monitor: Monitor,
  terminal: Attachment,
  environment: Environment,
  signal: AbortSignal,
): Promise<Ending> {
  const { stdin, stderr } = environment;
  try {
    const outcome = await unlessAborted(signal, Promise.race([monitor.outcome, terminal.left]));
    if (outcome === undefined) {
      terminal.detach();
      // The guest's cursor may stand in the middle of a line.
      if (stdin.isTTY === true && stderr.isTTY === true) stderr.write('\nvirts: You left the guest; it has ended.\n');
      return { exitStatus: 0 };
    }
    await terminal.flush();
    return endingOf(outcome);
  } finally {
    terminal.detach();
  }
}

function announce({ gdb }: Pick<MonitorOptions, 'gdb'>, { stdin, stderr }: Environment): void {
  if (gdb !== undefined) {
    const state = gdb.wait ? 'waits for' : 'serves';
    stderr.write(`virts: The machine ${state} GDB: target remote localhost:${gdb.port}\n`);
  }
  if (stdin.isTTY === true && stderr.isTTY === true) stderr.write('virts: Ctrl-] leaves the guest.\n');
}

/** The ending of a run that `error` ended. */
const endingBy = (error: unknown): Ending =>
  error instanceof Interrupted ? { exitStatus: error.status } : failedEnding(error);

async function runMonitored(
  options: MonitorOptions,
  stats: boolean,
  environment: Environment,
  signal: AbortSignal,
): Promise<number> {
  const started = performance.now();
  let terminal: Attachment | undefined;
  const monitor = await startMonitor({
    ...options,
    started(console) {
      announce(options, environment);
      terminal = attach(console, environment);
    },
  }).catch((error: unknown) => {
    terminal?.detach();
    throw error;
  });
  const { running } = monitor;
  const printNoMore = stats ? printOnSignal(running, started, environment) : () => {};
  let ending: Ending | undefined;
  try {
    ending = await converse(monitor, terminal!, environment, signal);
    return conclude(ending, environment);
  } catch (error) {
    ending ??= endingBy(error);
    throw error;
  } finally {
    printNoMore();
    await monitor.close(ending!);
    if (stats) printStatistics(running, started, environment);
  }
}

/** What makes the disk of a machine that has an image. */
const diskOf = ({ image }: Configuration, env: NodeJS.ProcessEnv) =>
  image === undefined ? undefined : (directory: string) => makeFromImage(image, directory, env);

/**
 * A place for the state of a machine. One that has neither a name nor a disk leaves nothing behind, and runs also where there
 * is no such place.
 */
async function keep(
  store: MachineStore,
  configuration: Configuration,
  { env, stderr }: Environment,
): Promise<HeldMachine | undefined> {
  try {
    return await store.create(configuration, diskOf(configuration, env));
  } catch (error) {
    if (!isPassing(configuration) || !(error instanceof VirtsError) || error.kind === 'internal') throw error;
    stderr.write(`virts: Other commands will not see this machine. ${error.message}\n`);
    return undefined;
  }
}

const isPassing = ({ name, image }: Configuration): boolean => name === undefined && image === undefined;

/** @throws VirtsError `usage`. */
function checkDetached({ gdb, stats }: RunOptions): void {
  const useless = gdb !== undefined ? '--gdb' : stats === true ? '--stats' : undefined;
  if (useless === undefined) return;
  throw new VirtsError('usage', `${useless} needs this terminal; leave --detach out.`);
}

/** How long the process of a machine that could not start may take to end, in milliseconds. */
const ENDING_MS = 2000;

/** Removes a machine that never ran, so that there is nothing in it. */
async function discard(store: MachineStore, machine: MachineRecord): Promise<void> {
  for (const until = Date.now() + ENDING_MS; isUp(statusOf(machine).state) && Date.now() < until; )
    await setTimeout(10);
  try {
    await store.remove(hold(machine));
  } catch {
    // It is listed then, and can be removed.
  }
}

/** Makes a machine and starts it in a process of its own; prints its id. */
async function runInBackground(
  options: RunOptions,
  configuration: Configuration,
  store: MachineStore,
  environment: Environment,
  signal: AbortSignal,
): Promise<number> {
  checkDetached(options);
  const { env, stderr, stdout } = environment;
  const { image } = configuration;
  // What takes long is done where the user sees it.
  if (image === undefined) {
    const request = { ...configuration, refresh: options.refresh };
    closeBootFiles(await bootFiles(request, { env, signal, progress: showProgress(stderr) }));
  }
  const held = await store.create(configuration, diskOf(configuration, env));
  try {
    await launch(held, env, signal);
  } catch (error) {
    await discard(store, held.machine);
    throw error;
  }
  stdout.write(`${held.machine.id}\n`);
  return 0;
}

/**
 * Runs a machine. `wait`: it stands still until a debugger is there.
 * @returns the exit status.
 * @throws VirtsError; Interrupted after a signal.
 */
export function run(
  image: string | undefined,
  options: RunOptions,
  wait: boolean,
  environment: Environment,
): Promise<number> {
  return interruptible(environment.signals, async (signal) => {
    const { env, stderr } = environment;
    const asked = configurationOf({ settings: options, image, file: options.file });
    const store = openMachineStore(machinesDirectory(env));
    if (asked.image !== undefined)
      await openOrPull(asked.image, { ...environment, signal, progress: showProgress(stderr) });
    if (options.detach === true) return runInBackground(options, asked, store, environment, signal);
    const configuration = isPassing(asked) ? { ...asked, remove: true } : asked;
    const held = await keep(store, configuration, environment);
    let log: Log | undefined;
    let ran = false;
    try {
      log = configuration.debugLog === undefined ? undefined : openLog(configuration.debugLog, environment);
      const monitorOptions: MonitorOptions = {
        configuration,
        machine: held?.machine,
        environment: {
          env,
          async startMachine(machineOptions) {
            const running = await environment.startMachine(machineOptions);
            ran = true;
            return running;
          },
        },
        progress: showProgress(stderr),
        signal,
        report: (message) => void stderr.write(`virts: ${message}${lineEnd(environment)}`),
        refresh: options.refresh,
        debugLog: log?.write,
        ...(options.gdb === undefined ? {} : { gdb: { port: options.gdb, wait } }),
      };
      return await runMonitored(monitorOptions, options.stats === true, environment, signal);
    } finally {
      log?.close();
      if (held !== undefined && (configuration.remove || !ran)) await store.remove(held);
      else held?.lock.release();
    }
  });
}
