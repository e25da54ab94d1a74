/**
 * Networks between this user's machines: a directory each. A machine holds the locks of a name and of an address for as long as
 * its process lives, so that both are free again however it ends, and no process has to hand them out.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { fileReason, VirtsError } from '../../base/errors.ts';
import { type FileLock, isLocked, tryLock } from '../../storage/file-lock.ts';
import { type Address, formatMac, type Mac } from '../address.ts';
import { GATEWAY_NAME, LAN } from '../addresses.ts';

const NAME = /^[a-z0-9]([a-z0-9_.-]{0,61}[a-z0-9])?$/;
const RESERVED = new Set([GATEWAY_NAME, 'localhost']);
const MADE = 'network.json';
const MEMBERS = 'members';
const ADDRESSES = 'addresses';

const Made = z.object({ version: z.literal(1), created: z.string() });
const Member = z.object({ address: z.string(), pid: z.number() });

export interface NetworkEntry {
  readonly name: string;
  /** ISO 8601. */
  readonly created: string;
  readonly machines: readonly { readonly name: string; readonly address: Address; readonly pid: number }[];
}

/** A machine's place in a network. */
export interface Membership {
  readonly directory: string;
  /** The machine's name there. */
  readonly name: string;
  readonly address: Address;
  readonly mac: Mac;
  /** The address of a machine that is there now. */
  find(name: string): readonly Address[] | undefined;
  leave(): void;
}

/** The name in the form in which it counts. @throws VirtsError `usage`. */
function checkName(text: string, of: 'network' | 'machine'): string {
  const name = text.toLowerCase();
  if (NAME.test(name) && !(of === 'machine' && RESERVED.has(name))) return name;
  throw new VirtsError(
    'usage',
    `'${text}' is no name for a ${of}; use up to 63 letters, digits, and . _ - between them.`,
  );
}

function failed(error: unknown, path: string, doing: string): VirtsError {
  return new VirtsError('io', `${path} cannot be ${doing}${fileReason(error)}.`, { path }, error);
}

function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

function missing(name: string): VirtsError {
  return new VirtsError('not-found', `There is no network '${name}'; 'virts network create ${name}' makes one.`, {
    name,
  });
}

/** Makes a network. @throws VirtsError `usage` for a name that is none or taken, `io`. */
export function createNetwork(base: string, text: string): string {
  const name = checkName(text, 'network');
  const path = join(base, name);
  const temporary = join(base, `.new-${process.pid}`);
  try {
    mkdirSync(base, { recursive: true, mode: 0o700 });
    rmSync(temporary, { recursive: true, force: true });
    for (const part of ['', MEMBERS, ADDRESSES]) mkdirSync(join(temporary, part), { mode: 0o700 });
    writeFileSync(join(temporary, MADE), `${JSON.stringify({ version: 1, created: new Date().toISOString() })}\n`);
    // There is the whole of it or nothing; a directory that is not empty is never replaced.
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (existsSync(path)) throw new VirtsError('usage', `There is a network '${name}' already.`, { name }, error);
    throw failed(error, path, 'made');
  }
  return name;
}

/** Machines that are in a network now. */
function machinesOf(directory: string): NetworkEntry['machines'] {
  const members = join(directory, MEMBERS);
  return readdirSync(members)
    .toSorted()
    .filter((name) => NAME.test(name) && isHeld(join(members, name)))
    .flatMap((name) => {
      const member = readJson(join(members, name), Member);
      return member === undefined ? [] : [{ name, ...member }];
    });
}

/** Whether a process has the lock of a file; one that is gone has it no more. */
function isHeld(path: string): boolean {
  try {
    return isLocked(path);
  } catch {
    return false;
  }
}

/** All networks, by name. @throws VirtsError `io`. */
export function listNetworks(base: string): NetworkEntry[] {
  let names: string[];
  try {
    names = existsSync(base) ? readdirSync(base) : [];
  } catch (error) {
    throw failed(error, base, 'read');
  }
  return names
    .filter((name) => NAME.test(name))
    .toSorted()
    .flatMap((name) => {
      const directory = join(base, name);
      const made = readJson(join(directory, MADE), Made);
      if (made === undefined) return [];
      try {
        return [{ name, created: made.created, machines: machinesOf(directory) }];
      } catch {
        // It was removed meanwhile.
        return [];
      }
    });
}

/** Removes a network that no machine is in. @throws VirtsError `not-found`, `usage` where one is, `io`. */
export function removeNetwork(base: string, text: string): void {
  const name = checkName(text, 'network');
  const path = join(base, name);
  if (readJson(join(path, MADE), Made) === undefined) throw missing(name);
  // Out of the way first: whoever joins meanwhile finds it gone.
  const aside = join(base, `.old-${process.pid}`);
  try {
    rmSync(aside, { recursive: true, force: true });
    renameSync(path, aside);
    const machines = machinesOf(aside).map((machine) => machine.name);
    if (machines.length === 0) {
      rmSync(aside, { recursive: true, force: true });
      return;
    }
    renameSync(aside, path);
    const which = machines.join(', ');
    throw new VirtsError(
      'usage',
      `The network '${name}' is in use by ${which}; end ${machines.length > 1 ? 'them' : 'it'} first.`,
    );
  } catch (error) {
    if (error instanceof VirtsError) throw error;
    throw failed(error, path, 'removed');
  }
}

/** Takes the lock of a file that stays where it is: a lock of one that was removed meanwhile would hold nobody off. */
function hold(path: string): FileLock | undefined {
  const lock = tryLock(path);
  if (lock === undefined) return undefined;
  const [held, there] = [fstatSync(lock.descriptor).ino, statSync(path, { throwIfNoEntry: false })?.ino];
  if (held === there) return lock;
  closeSync(lock.descriptor);
  return undefined;
}

/** Where the search for a free address begins: the same name tends to get the same address again. */
function firstTry(name: string): number {
  let sum = 0;
  for (let i = 0; i < name.length; i++) sum = (sum * 31 + name.charCodeAt(i)) % 0x1_0000;
  return sum % LAN.pool.length;
}

function holdAddress(directory: string, name: string): { address: Address; lock: FileLock } | undefined {
  const start = firstTry(name);
  for (let i = 0; i < LAN.pool.length; i++) {
    const address = LAN.pool[(start + i) % LAN.pool.length]!;
    const lock = hold(join(directory, ADDRESSES, address));
    if (lock !== undefined) return { address, lock };
  }
  return undefined;
}

/** A card's address on the network follows from that by IP, so that no two are the same. */
const macOf = (address: Address): Mac =>
  formatMac(Uint8Array.of(0x52, 0x54, 0, ...address.split('.').map(Number).slice(1)), 0);

/**
 * Takes a name and an address in a network.
 * @throws VirtsError `not-found` where there is no such network, `usage` where the name is none or taken or the network full, `io`.
 */
export function joinNetwork(base: string, text: string, machine: string): Membership {
  const [network, name] = [checkName(text, 'network'), checkName(machine, 'machine')];
  const directory = join(base, network);
  if (readJson(join(directory, MADE), Made) === undefined) throw missing(network);
  const path = join(directory, MEMBERS, name);
  let lock: FileLock | undefined;
  let found: ReturnType<typeof holdAddress>;
  try {
    lock = hold(path);
    if (lock === undefined) {
      throw new VirtsError(
        'usage',
        `The network '${network}' has a machine called '${name}'; give this one another name by --name.`,
      );
    }
    found = holdAddress(directory, name);
    if (found === undefined)
      throw new VirtsError('usage', `The network '${network}' is full: it has ${LAN.pool.length} machines.`);
    writeFileSync(path, JSON.stringify({ address: found.address, pid: process.pid }));
  } catch (error) {
    lock?.release();
    found?.lock.release();
    throw error instanceof VirtsError ? error : failed(error, path, 'written');
  }
  const held = { name: lock, address: found.lock };
  return {
    ...{ directory, name, address: found.address, mac: macOf(found.address) },
    find(asked) {
      const member = NAME.test(asked) ? join(directory, MEMBERS, asked) : undefined;
      if (member === undefined || !isHeld(member)) return undefined;
      const told = readJson(member, Member);
      return told && [told.address];
    },
    leave() {
      rmSync(path, { force: true });
      held.name.release();
      held.address.release();
    },
  };
}
