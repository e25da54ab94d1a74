/**
 * What this user's machines are, on disk: a directory each, with its configuration, its status, its lock and its disk. A process
 * that runs a machine holds the lock, which ends with the process: so a machine whose process was killed is known by its status
 * saying that it runs while nobody has the lock.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import * as z from 'zod';
import { VirtsError } from '../../base/errors.ts';
import { fileError, writeWhole } from '../../images/apt/cache.ts';
import { type FileLock, isLocked, tryLock } from '../../storage/file-lock.ts';
import {
  type Configuration,
  readConfiguration,
  type WrittenConfiguration,
  writeConfiguration,
} from '../../vm/configuration.ts';
import { machineByName, noSuchMachine } from './by-name.ts';
import { FILES } from './files.ts';

/** The image that a machine was made from. Its files are links in the machine's directory where the file system has them. */
const MadeFrom = z.object({
  name: z.string(),
  /** Absolute, or relative to the machine's directory. */
  disk: z.string().optional(),
  kernel: z.string(),
  initrd: z.string().optional(),
  append: z.string(),
});

export type MadeFrom = z.infer<typeof MadeFrom>;

const Record = z.object({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{12}$/),
  /** ISO 8601. */
  created: z.string(),
  configuration: z.custom<WrittenConfiguration>(),
  madeFrom: MadeFrom.optional(),
});

/** What is written of how a machine is. */
const Status = z.object({
  state: z.enum(['created', 'starting', 'running', 'paused', 'exited']),
  /** Of the process that runs it. */
  pid: z.number().optional(),
  /** ISO 8601. */
  started: z.string().optional(),
  ended: z.string().optional(),
  /** As `virts run` has it; of the last run. */
  exitStatus: z.number().optional(),
  /** A sentence about its end. */
  message: z.string().optional(),
});

export type Status = z.infer<typeof Status>;

/** `dead`: the process that ran it is gone without a word. */
export type State = Status['state'] | 'dead';

export interface MachineRecord {
  readonly id: string;
  readonly directory: string;
  readonly created: string;
  readonly configuration: Configuration;
  readonly madeFrom: MadeFrom | undefined;
}

/** Says what a machine is called in sentences and lists: its name, or else its id. */
export const nameOf = ({ id, configuration }: MachineRecord): string => configuration.name ?? id;

/** Turns a failed operation in the state directory into a sentence. */
export function stateError(error: unknown, path: string, doing: 'read' | 'written'): VirtsError {
  const known = fileError(error, path, doing);
  if (known.kind !== 'no-space') return known;
  return new VirtsError(
    'no-space',
    `The disk is full: there is no room for ${path}; free some space.`,
    { path },
    error,
  );
}

async function writeJson(path: string, value: unknown): Promise<void> {
  try {
    await writeWhole(path, Buffer.from(`${JSON.stringify(value, null, 2)}\n`));
  } catch (error) {
    throw stateError(error, path, 'written');
  }
}

function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    const read = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return read.data;
  } catch {
    return undefined;
  }
}

/** Makes the directory of all machines, which is nobody else's business. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (error) {
    throw stateError(error, path, 'written');
  }
}

/** How long other programs may take to change the list of machines, in milliseconds, and how often to look. */
const PATIENCE_MS = 10_000;
const LOOK_MS = 5;

/** Changes the list of machines while nobody else does. */
async function alone<T>(directory: string, work: () => T | Promise<T>): Promise<T> {
  const path = join(directory, '.lock');
  for (const until = Date.now() + PATIENCE_MS; ; await setTimeout(LOOK_MS)) {
    let lock: FileLock | undefined;
    try {
      lock = tryLock(path);
    } catch (error) {
      throw stateError(error, path, 'written');
    }
    if (lock === undefined && Date.now() > until) {
      throw new VirtsError('io', `Another program keeps the list of machines locked (${path}); try again.`, { path });
    }
    if (lock === undefined) continue;
    try {
      return await work();
    } finally {
      lock.release();
    }
  }
}

function readRecord(directory: string, id: string): MachineRecord | undefined {
  const own = join(directory, id);
  const record = readJson(join(own, FILES.record), Record);
  if (record === undefined) return undefined;
  try {
    const configuration = readConfiguration(record.configuration, join(own, FILES.record));
    return { id, directory: own, created: record.created, configuration, madeFrom: record.madeFrom };
  } catch {
    return undefined;
  }
}

/** How a machine is now. */
export function statusOf(machine: MachineRecord): Omit<Status, 'state'> & { readonly state: State } {
  const read = () => readJson(join(machine.directory, FILES.status), Status) ?? { state: 'created' as const };
  const before = read();
  const held = isLocked(join(machine.directory, FILES.lock));
  // Whoever gave up the lock between the two looks wrote the status first.
  const status = held ? before : read();
  if (held) return status.state === 'running' || status.state === 'paused' ? status : { ...status, state: 'starting' };
  const lost = status.state === 'starting' || status.state === 'running' || status.state === 'paused';
  return lost ? { ...status, state: 'dead' } : status;
}

export const isUp = (state: State): boolean => state === 'starting' || state === 'running' || state === 'paused';

export function writeStatus(machine: MachineRecord, status: Status): Promise<void> {
  return writeJson(join(machine.directory, FILES.status), status);
}

/** A machine whose lock this process has. */
export interface HeldMachine {
  readonly machine: MachineRecord;
  readonly lock: FileLock;
}

/** Takes a machine's lock. @throws VirtsError `usage` if it runs. */
export function hold(machine: MachineRecord): HeldMachine {
  const path = join(machine.directory, FILES.lock);
  let lock: FileLock | undefined;
  try {
    lock = tryLock(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw noSuchMachine(nameOf(machine));
    throw stateError(error, path, 'written');
  }
  if (lock === undefined) {
    throw new VirtsError('usage', `The machine ${nameOf(machine)} runs already; 'virts stop' ends it.`);
  }
  if (existsSync(join(machine.directory, FILES.record))) return { machine, lock };
  // It was removed between the two steps of taking the lock.
  lock.release();
  throw noSuchMachine(nameOf(machine));
}

export interface MachineStore {
  readonly directory: string;
  /** All machines, oldest first. Those that were to be removed at their end, and ended, are gone. */
  list(): Promise<MachineRecord[]>;
  /** By name, id, or the beginning of an id that no other has. @throws VirtsError `not-found`, `usage`. */
  find(name: string): Promise<MachineRecord>;
  /**
   * Makes a machine and holds it. `prepare` puts more into its directory, under another name yet.
   * @throws VirtsError `usage` for a name in use; what `prepare` throws.
   */
  create(
    configuration: Configuration,
    prepare?: (directory: string) => Promise<MadeFrom | undefined>,
  ): Promise<HeldMachine>;
  /** Removes a machine that this process holds, and gives up the lock. */
  remove(held: HeldMachine): Promise<void>;
}

/** Directories that are being made, and those being removed. */
const MAKING = '.new-';
const REMOVING = '.gone-';

export function openMachineStore(directory: string): MachineStore {
  const read = (): MachineRecord[] => {
    let names: string[];
    try {
      names = readdirSync(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw stateError(error, directory, 'read');
    }
    const found = names.flatMap((id) => (id.startsWith('.') ? [] : (readRecord(directory, id) ?? [])));
    return found.toSorted((a, b) => (a.created < b.created ? -1 : 1));
  };

  async function remove({ machine, lock }: HeldMachine): Promise<void> {
    const gone = join(directory, `${REMOVING}${machine.id}`);
    try {
      await alone(directory, () => renameSync(machine.directory, gone));
      await rm(gone, { recursive: true, force: true });
    } catch (error) {
      throw stateError(error, machine.directory, 'written');
    } finally {
      lock.release();
    }
  }

  /** Removes machines that were to go when they ended; whatever ended them. */
  async function removeEnded(machines: readonly MachineRecord[]): Promise<MachineRecord[]> {
    const kept: MachineRecord[] = [];
    for (const machine of machines) {
      const ended = machine.configuration.remove && !isUp(statusOf(machine).state);
      const held = ended ? tryHold(machine) : undefined;
      if (held !== undefined) await remove(held).catch(() => {});
      else if (!ended) kept.push(machine);
    }
    return kept;
  }

  /** Removes what processes that were killed left behind. */
  async function sweep(): Promise<void> {
    for (const name of readdirSync(directory)) {
      if (!name.startsWith(MAKING) && !name.startsWith(REMOVING)) continue;
      const path = join(directory, name);
      if (!isLocked(join(path, FILES.lock))) await rm(path, { recursive: true, force: true });
    }
  }

  async function list(): Promise<MachineRecord[]> {
    return removeEnded(read());
  }

  async function find(name: string): Promise<MachineRecord> {
    const machines = await list();
    const named = machines.map((machine) => ({ id: machine.id, name: machine.configuration.name, machine }));
    return machineByName(name, named).machine;
  }

  /** @throws VirtsError `usage`. */
  function checkName({ name }: Configuration): void {
    const other = name === undefined ? undefined : read().find(({ configuration }) => configuration.name === name);
    if (other === undefined) return;
    const message = `The name ${name} is in use by the machine ${other.id}; 'virts start ${name}' starts it, 'virts rm ${name}' removes it.`;
    throw new VirtsError('usage', message, { name });
  }

  async function create(
    configuration: Configuration,
    prepare: (directory: string) => Promise<MadeFrom | undefined> = async () => undefined,
  ): Promise<HeldMachine> {
    makeDirectory(directory);
    // Before the work, and again when nobody else can take the name.
    await list();
    checkName(configuration);
    const id = randomBytes(6).toString('hex');
    const making = join(directory, `${MAKING}${id}`);
    let lock: FileLock | undefined;
    try {
      await alone(directory, async () => {
        await sweep();
        mkdirSync(making, { mode: 0o700 });
        lock = tryLock(join(making, FILES.lock));
      });
      const madeFrom = await prepare(making);
      const created = new Date().toISOString();
      const written = writeConfiguration(configuration);
      await writeJson(join(making, FILES.record), { version: 1, id, created, configuration: written, madeFrom });
      const final = join(directory, id);
      await alone(directory, () => {
        checkName(configuration);
        renameSync(making, final);
      });
      return { machine: { id, directory: final, created, configuration, madeFrom }, lock: lock! };
    } catch (error) {
      await rm(making, { recursive: true, force: true }).catch(() => {});
      lock?.release();
      throw stateError(error, making, 'written');
    }
  }

  return { directory, list, find, create, remove };
}

function tryHold(machine: MachineRecord): HeldMachine | undefined {
  try {
    return hold(machine);
  } catch {
    return undefined;
  }
}
