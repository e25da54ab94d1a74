/** The commands about machines that there are. */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod';
import { VirtsError } from '../../base/errors.ts';
import { unlessAborted } from '../../base/unless-aborted.ts';
import { machinesDirectory } from '../../images/directories.ts';
import { formatMemory } from '../../vm/memory-size.ts';
import type { Environment } from '../environment.ts';
import { interruptible } from '../interrupt.ts';
import { reportError } from '../report-error.ts';
import { attach } from '../terminal.ts';
import { openLogReader } from './console-log.ts';
import { attachConsole, connectControl } from './control-client.ts';
import { Ending, Messages, ProcessorTime, Stats } from './control-protocol.ts';
import { described, machineTable, machineYaml } from './describe.ts';
import { FILES } from './files.ts';
import { launch } from './launch.ts';
import { KILLED_ENDING } from './monitor.ts';
import {
  type HeldMachine,
  hold,
  isUp,
  type MachineRecord,
  type MachineStore,
  nameOf,
  openMachineStore,
  statusOf,
} from './state-directory.ts';
import { binarySize, decimalSize, table } from './table.ts';

const Nothing = z.unknown();

/** What every command needs. */
interface Setting {
  readonly store: MachineStore;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** Runs a command until it is done, or a signal comes. */
function command(environment: Environment, work: (setting: Setting) => Promise<number>): Promise<number> {
  const store = openMachineStore(machinesDirectory(environment.env));
  return interruptible(environment.signals, (signal) => unlessAborted(signal, work({ store, environment, signal })));
}

/** Does something to each machine and prints its name, as given; one that fails does not keep it from the others. */
function forEach(
  names: readonly string[],
  environment: Environment,
  work: (machine: MachineRecord, setting: Setting) => Promise<string | undefined>,
): Promise<number> {
  return command(environment, async (setting) => {
    let status = 0;
    for (const name of names) {
      try {
        const text = (await work(await setting.store.find(name), setting)) ?? name;
        environment.stdout.write(`${text}\n`);
      } catch (error) {
        if (setting.signal.aborted) throw error;
        status = reportError(error, environment);
      }
    }
    return status;
  });
}

async function ask<T>(
  machine: MachineRecord,
  request: Parameters<Awaited<ReturnType<typeof connectControl>>['request']>[0],
  result: z.ZodType<T>,
  patience?: number,
): Promise<T> {
  const client = await connectControl(machine, patience);
  try {
    return await client.request(request, result);
  } finally {
    client.close();
  }
}

/** How long the processes of machines may take to do what they are told to do at once, in milliseconds. */
const PATIENCE_MS = 5000;

/** Resolves when nobody runs the machine any more. @throws VirtsError `io` if that takes too long. */
async function untilGone(machine: MachineRecord): Promise<void> {
  for (const until = Date.now() + PATIENCE_MS; isUp(statusOf(machine).state); await setTimeout(10)) {
    if (Date.now() > until) throw new VirtsError('io', `The machine ${nameOf(machine)} does not end.`);
  }
}

/** Ends a machine at once; its process, if that does not answer. */
async function killMachine(machine: MachineRecord): Promise<void> {
  const asked = ask(machine, { method: 'kill' }, Ending, PATIENCE_MS);
  const late = setTimeout(PATIENCE_MS, 'late', { ref: false });
  const answer = await Promise.race([asked, late]).catch((error: unknown) => {
    if (!(error instanceof VirtsError) || error.kind !== 'io') throw error;
    return 'late';
  });
  const { state, pid } = statusOf(machine);
  if (answer === 'late' && isUp(state) && pid !== undefined) process.kill(pid, 'SIGKILL');
  await untilGone(machine);
}

export const kill = (names: readonly string[], environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine) => {
    await killMachine(machine);
    return undefined;
  });

/** `time`: seconds that the guest may take to shut down. One that does not run is as it should be. */
export const stop = (names: readonly string[], time: number, environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine) => {
    if (!isUp(statusOf(machine).state)) return undefined;
    try {
      await ask(machine, { method: 'stop', timeout: time * 1000 }, Ending);
    } catch (error) {
      // It may have ended by itself meanwhile.
      if (isUp(statusOf(machine).state)) throw error;
    }
    await untilGone(machine);
    return undefined;
  });

export const pause = (names: readonly string[], environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine) => {
    await ask(machine, { method: 'pause' }, Nothing);
    return undefined;
  });

export const resume = (names: readonly string[], environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine) => {
    await ask(machine, { method: 'resume' }, Nothing);
    return undefined;
  });

/** Has guests give up so much of their memory. */
export const balloon = (bytes: number, names: readonly string[], environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine) => {
    if (bytes >= machine.configuration.memory) {
      const size = formatMemory(machine.configuration.memory);
      throw new VirtsError(
        'usage',
        `The machine ${nameOf(machine)} has ${size} of memory, and cannot give up all of it.`,
      );
    }
    await ask(machine, { method: 'balloon', bytes }, Nothing);
    return undefined;
  });

/** How a machine ended that does not run. */
function lastEnding(machine: MachineRecord): Ending {
  const { state, exitStatus = 0, message } = statusOf(machine);
  return state === 'dead' ? KILLED_ENDING : { exitStatus, ...(message !== undefined && { message }) };
}

/** Waits for the end of a machine, however it comes. */
async function endOf(machine: MachineRecord): Promise<Ending> {
  if (!isUp(statusOf(machine).state)) return lastEnding(machine);
  const ending = await ask(machine, { method: 'wait' }, Ending).catch(() => undefined);
  // Whoever looks at its state next is to find that it ended; it may have been started anew meanwhile.
  await untilGone(machine).catch(() => {});
  return ending ?? lastEnding(machine);
}

/** Prints the exit status of each. */
export const wait = (names: readonly string[], environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine) => String((await endOf(machine)).exitStatus));

export const remove = (names: readonly string[], force: boolean, environment: Environment): Promise<number> =>
  forEach(names, environment, async (machine, { store }) => {
    const running = isUp(statusOf(machine).state);
    if (running && !force) {
      const name = nameOf(machine);
      throw new VirtsError('usage', `The machine ${name} runs; 'virts stop ${name}' ends it, or use --force.`);
    }
    if (running) await killMachine(machine);
    // A machine that was to be removed at its end may be gone.
    if (running && machine.configuration.remove) return undefined;
    await store.remove(hold(machine));
    return undefined;
  });

/** Starts a machine unless it runs, or is about to. */
async function startMachine(machine: MachineRecord, { environment, signal }: Setting): Promise<void> {
  if (!isUp(statusOf(machine).state)) {
    let held: HeldMachine | undefined;
    try {
      held = hold(machine);
    } catch (error) {
      if (!isUp(statusOf(machine).state)) throw error;
    }
    if (held !== undefined) return launch(held, environment.env, signal);
  }
  // Somebody else's start counts as well, once the guest runs.
  (await connectControl(machine)).close();
}

export function start(names: readonly string[], attached: boolean, environment: Environment): Promise<number> {
  if (!attached) {
    return forEach(names, environment, async (machine, setting) => {
      await startMachine(machine, setting);
      return undefined;
    });
  }
  const [name, ...others] = names;
  if (name === undefined || others.length > 0) {
    throw new VirtsError('usage', 'One machine at a time can be attached to this terminal.');
  }
  return command(environment, async (setting) => {
    const machine = await setting.store.find(name);
    await startMachine(machine, setting);
    return converse(machine, true, setting);
  });
}

/** Puts a machine's console on this terminal until it ends or the user leaves; the machine's exit status, or 0. */
async function converse(machine: MachineRecord, recent: boolean, { environment, signal }: Setting): Promise<number> {
  const { stdin, stderr } = environment;
  const ended = endOf(machine);
  const remote = await attachConsole(machine, recent);
  const onTerminal = stdin.isTTY === true && stderr.isTTY === true;
  if (onTerminal) stderr.write('virts: Ctrl-] leaves the console; the machine goes on.\n');
  const terminal = attach(remote, environment);
  try {
    const left = await unlessAborted(
      signal,
      Promise.race([remote.closed.then(() => false), terminal.left.then(() => true)]),
    );
    await terminal.flush();
    terminal.detach();
    if (left) {
      if (onTerminal) stderr.write(`\nvirts: You left the console of ${nameOf(machine)}, which goes on.\n`);
      return 0;
    }
    const { exitStatus, message } = await ended;
    if (message !== undefined) stderr.write(`virts: ${message}\n`);
    return exitStatus;
  } finally {
    terminal.detach();
    remote.close();
  }
}

export const openConsole = (name: string, environment: Environment): Promise<number> =>
  command(environment, async (setting) => {
    const machine = await setting.store.find(name);
    await showMessages(machine, environment);
    return converse(machine, true, setting);
  });

export interface LogOptions {
  readonly follow?: boolean;
  /** Lines. */
  readonly tail?: number;
}

/** Milliseconds that a machine may take to say what there is. */
const ANSWER_MS = 2000;

/** Shows what a machine's process had to say, beside what its guest wrote. */
async function showMessages(machine: MachineRecord, { stderr }: Environment): Promise<void> {
  if (!isUp(statusOf(machine).state)) return;
  // One that is ending says no more, and one that does not answer keeps nobody from its guest's output.
  const asked = ask(machine, { method: 'messages' }, Messages, 0).catch(() => []);
  const messages = await Promise.race([asked, setTimeout(ANSWER_MS, [], { ref: false })]);
  for (const message of messages) stderr.write(`virts: ${message}\n`);
}

/** How often a log is looked at, in milliseconds. */
const LOG_MS = 100;

/** The last lines. */
function lastLines(bytes: Buffer, count: number): Buffer {
  let at = bytes.length;
  if (bytes.at(-1) === 10) at--;
  for (let line = 0; line < count && at >= 0; line++) at = at === 0 ? -1 : bytes.lastIndexOf(10, at - 1);
  return count === 0 ? Buffer.alloc(0) : bytes.subarray(at + 1);
}

export const logs = (name: string, { follow, tail }: LogOptions, environment: Environment): Promise<number> =>
  command(environment, async ({ store, signal }) => {
    const machine = await store.find(name);
    const reader = openLogReader(join(machine.directory, FILES.console));
    const write = (bytes: Uint8Array) =>
      new Promise<void>((resolve) => environment.stdout.write(bytes, () => resolve()));
    try {
      const before = reader.read();
      await write(tail === undefined ? before : lastLines(before, tail));
      await showMessages(machine, environment);
      while (follow === true && !signal.aborted && !environment.stdout.destroyed) {
        const runs = isUp(statusOf(machine).state);
        const bytes = reader.read();
        if (bytes.length > 0) await write(bytes);
        if (!runs) break;
        await setTimeout(LOG_MS);
      }
      return 0;
    } finally {
      reader.close();
    }
  });

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export interface ListOptions {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** Those that run, and those that should. */
export const list = ({ all, quiet, json: asJson }: ListOptions, environment: Environment): Promise<number> =>
  command(environment, async ({ store }) => {
    const machines = (await store.list()).filter((machine) => {
      const { state } = statusOf(machine);
      return all === true || isUp(state) || state === 'dead';
    });
    if (asJson === true) environment.stdout.write(json(machines.map(described)));
    else if (quiet === true) environment.stdout.write(machines.map(({ id }) => `${id}\n`).join(''));
    else environment.stdout.write(machineTable(machines));
    return 0;
  });

export const inspect = (names: readonly string[], asJson: boolean, environment: Environment): Promise<number> =>
  command(environment, async ({ store }) => {
    const machines: MachineRecord[] = [];
    for (const name of names) machines.push(await store.find(name));
    if (asJson) environment.stdout.write(json(machines.map(described)));
    else environment.stdout.write(machines.map(machineYaml).join('---\n'));
    return 0;
  });

/** Figures between two looks. */
interface Figures extends Stats {
  readonly id: string;
  readonly name: string | null;
  /** Of one processor of the host. */
  readonly cpuPercent: number;
}

/** Milliseconds between two looks. */
const STATS_MS = 1000;

/** `undefined`: it does not run any more. */
async function look<T>(
  machine: MachineRecord,
  method: 'stats' | 'processor',
  answer: z.ZodType<T>,
): Promise<T | undefined> {
  try {
    return await ask(machine, { method }, answer);
  } catch (error) {
    if (error instanceof VirtsError && !isUp(statusOf(machine).state)) return undefined;
    throw error;
  }
}

/** Figures of all that run, over a second, in which none of them is kept busy by being asked for the others. */
async function measure(machines: readonly MachineRecord[]): Promise<Figures[]> {
  const before = await Promise.all(machines.map((machine) => look(machine, 'processor', ProcessorTime)));
  await setTimeout(STATS_MS);
  const after = await Promise.all(machines.map((machine) => look(machine, 'stats', Stats)));
  return machines.flatMap(({ id, configuration }, i) => {
    const [first, last] = [before[i], after[i]];
    if (first === undefined || last === undefined) return [];
    const cpuPercent = (100 * (last.cpu - first.cpu)) / 1000 / (last.at - first.at);
    return [{ id, name: configuration.name ?? null, cpuPercent, ...last }];
  });
}

function statsTable(figures: readonly Figures[]): string {
  const rows = figures.map(({ id, name, cpuPercent, memory, network, disk }) => [
    id,
    name ?? '',
    `${cpuPercent.toFixed(2)}%`,
    `${binarySize(memory.guest)} / ${binarySize(memory.size)}`,
    binarySize(memory.process),
    `${decimalSize(network.received)} / ${decimalSize(network.sent)}`,
    `${decimalSize(disk.read)} / ${decimalSize(disk.written)}`,
  ]);
  return table([['ID', 'NAME', 'CPU %', 'GUEST MEM / LIMIT', 'PROCESS MEM', 'NET I/O', 'BLOCK I/O'], ...rows]);
}

export interface StatsOptions {
  readonly stream: boolean;
  readonly json?: boolean;
}

/** Without names: of all that run. */
export const stats = (names: readonly string[], options: StatsOptions, environment: Environment): Promise<number> =>
  command(environment, async ({ store, signal }) => {
    const { stdout } = environment;
    const streams = options.stream && options.json !== true && stdout.isTTY === true;
    const chosen = async () => {
      if (names.length > 0) return Promise.all(names.map((name) => store.find(name)));
      return (await store.list()).filter((machine) => isUp(statusOf(machine).state));
    };
    do {
      const figures = await measure(await chosen());
      if (options.json === true) stdout.write(json(figures));
      else stdout.write(`${streams ? '\x1b[H\x1b[2J' : ''}${statsTable(figures)}`);
    } while (streams && !signal.aborted);
    return 0;
  });
