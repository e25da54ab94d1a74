/**
 * A directory of the host as a folder for a guest. Every name is looked up in a directory that is open, one component at a time,
 * without following symbolic links, and what was found is used by its descriptor: so no link, no `..` and no race with
 * somebody who renames can lead out of the folder.
 */
import { fdatasync as fdatasyncCall, fsync as fsyncCall, readvSync, writevSync } from 'node:fs';
import { getegid, geteuid } from 'node:process';
import { fileReason, VirtsError } from '../../base/errors.ts';
import { type Bytes, byteLength, slice } from '../../base/pieces.ts';
import {
  type Attributes,
  type Changes,
  type DirectoryEntry,
  ERRNO,
  type Folder,
  type Found,
  MODE,
  type OpenMode,
  type Owner,
  Refusal,
  refuse,
  type Time,
} from '../folder.ts';
import {
  AT,
  cString,
  DIRECTORY,
  folderCalls,
  lastError,
  NO_FOLLOW,
  NOTHING,
  OPEN,
  pathOf,
  RENAME,
  succeeded,
} from './calls.ts';
import { descriptorLimit } from './descriptors.ts';
import { createItems, type HostItem } from './items.ts';
import { ownershipRules } from './ownership.ts';
import { entriesOf, fileSystemOf, type Status, statusOf } from './status.ts';

/** An open directory, and the entries that were read last. */
interface HostListing {
  readonly file: number;
  /** Where the entries come from, and where each is. */
  offset: bigint;
  entries: readonly DirectoryEntry[];
}

export interface HostFolder extends Folder<HostItem, number, HostListing> {
  /** Items held, and descriptors for them. */
  count(): { readonly items: number; readonly files: number };
  /** Gives all of them up. */
  end(): void;
}

export interface HostFolderOptions {
  /** Descriptors that held items may take; a quarter of what the process may have unless given. */
  readonly descriptors?: number;
}

/** Bytes of directory entries read at once. */
const LIST_BYTES = 32 * 1024;
/** Most pieces of one transfer: `IOV_MAX`. */
const MOST_PIECES = 1024;
/** Positions that both JavaScript and files can have. */
const MOST_POSITION = Number.MAX_SAFE_INTEGER;
const LONGEST_LINK = 4096;
const SEEK = { set: 0, data: 3, hole: 4 } as const;
/** Special values of `utimensat(2)`. */
const UTIME = { now: 0x3fffffff, omit: 0x3ffffffe } as const;

function accessFlags({ read, write, append, truncate, sync }: OpenMode): number {
  const access = read && write ? OPEN.readWrite : write ? OPEN.writeOnly : OPEN.readOnly;
  return access | (append ? OPEN.append : 0) | (truncate ? OPEN.truncate : 0) | (sync ? OPEN.sync : 0);
}

/** Opening a FIFO or a device may wait or act; what is opened is neither, but a flag is cheap. */
const ALWAYS = OPEN.closeOnExec | OPEN.nonBlocking | OPEN.noTerminal;

const typeOf = ({ mode }: { readonly mode: number }) => mode & MODE.type;

function timeSpec(view: DataView, at: number, time: Time | 'now' | undefined): void {
  const nanoseconds = time === 'now' ? UTIME.now : time === undefined ? UTIME.omit : time.nanoseconds;
  view.setBigInt64(at, typeof time === 'object' ? time.seconds : 0n, true);
  view.setBigInt64(at + 8, BigInt(nanoseconds), true);
}

/** What Node's calls throw. */
function refusalOf(error: unknown): never {
  if (error instanceof Refusal) throw error;
  const { errno } = error as NodeJS.ErrnoException;
  return refuse(typeof errno === 'number' && errno < 0 ? -errno : ERRNO.EIO);
}

/** Transfers all pieces, a part at a time, until there is no more. */
function transfer(call: typeof readvSync | typeof writevSync, file: number, position: number, bytes: Bytes): number {
  const total = byteLength(bytes);
  if (!Number.isSafeInteger(position + total)) refuse(ERRNO.EFBIG);
  let done = 0;
  try {
    while (done < total) {
      const rest = (done === 0 ? bytes : slice(bytes, done, total - done)).slice(0, MOST_PIECES);
      const count = call(file, rest as Uint8Array[], position + done);
      if (count === 0) break;
      done += count;
    }
  } catch (error) {
    // What was transferred before was transferred; the next call will say what is the matter.
    if (done === 0) refusalOf(error);
  }
  return done;
}

/** Opens the directory itself: its own name may be a symbolic link, which the user meant. */
function openRoot(path: string): number {
  const calls = folderCalls();
  const file = Number(calls.openat(AT.here, cString(path), OPEN.path | DIRECTORY | OPEN.closeOnExec, 0));
  if (file >= 0) return file;
  const errno = lastError();
  if (errno === ERRNO.ENOENT) throw new VirtsError('not-found', `There is no directory ${path}.`, { path });
  if (errno === ERRNO.ENOTDIR) throw new VirtsError('bad-input', `${path} is no directory.`, { path });
  const code = errno === ERRNO.EACCES ? 'EACCES' : `errno ${errno}`;
  throw new VirtsError('io', `The directory ${path} could not be opened${fileReason({ code })}.`, { path });
}

/** Opens a folder. @throws VirtsError `not-found`, `bad-input`, `io`, `unsupported`. */
export function openHostFolder(path: string, options: HostFolderOptions = {}): HostFolder {
  const calls = folderCalls();
  const items = createItems(calls, openRoot(path), Math.max(8, options.descriptors ?? descriptorLimit() >> 2));
  const ownership = ownershipRules(calls, geteuid?.() ?? 0, getegid?.() ?? 0);
  const rootDevice = statusOf(calls, items.fileOf(items.root)).device;
  /** Devices met, in order: numbers of files are theirs alone. */
  const devices = [rootDevice];
  const listBuffer = new Uint8Array(LIST_BYTES);

  /** A file's number, unlike that of files on other devices that are mounted inside the folder. */
  function inoOf({ ino, device }: Status): bigint {
    let index = devices.indexOf(device);
    if (index === -1) index = devices.push(device) - 1;
    return index === 0 ? ino : BigInt.asUintN(64, ino ^ (BigInt(index) << 48n));
  }

  function attributesOf(item: HostItem, file: number, status: Status): Attributes {
    const { uid, gid, mode } = ownership.of(file, status, item.notes);
    return { ...status, ino: inoOf(status), uid, gid, mode: typeOf(status) | mode };
  }

  function attributes(item: HostItem): Attributes {
    const file = items.fileOf(item);
    return attributesOf(item, file, statusOf(calls, file));
  }

  function lookup(directory: HostItem, name: Uint8Array): Found<HostItem> {
    const { item, status } = items.find(directory, name);
    return { item, attributes: attributesOf(item, items.fileOf(item), status) };
  }

  /** Opens an item itself, of the type that its caller made sure it has. */
  function reopen(item: HostItem, flags: number): number {
    return succeeded(calls.openat(AT.here, pathOf(items.fileOf(item)), flags | ALWAYS, 0));
  }

  function truncate(item: HostItem, size: bigint, open: number | undefined): void {
    const status = statusOf(calls, items.fileOf(item));
    if (typeOf(status) === MODE.directory) refuse(ERRNO.EISDIR);
    if (typeOf(status) !== MODE.file) refuse(ERRNO.EINVAL);
    if (size > BigInt(MOST_POSITION)) refuse(ERRNO.EFBIG);
    const file = open ?? reopen(item, OPEN.writeOnly);
    try {
      succeeded(calls.ftruncate(file, size));
    } finally {
      if (open === undefined) calls.close(file);
    }
  }

  function setOwnership(item: HostItem, changes: Partial<Owner> & { readonly mode?: number | undefined }): void {
    const file = items.fileOf(item);
    const status = statusOf(calls, file);
    const before = ownership.of(file, status, item.notes);
    const { uid = before.uid, gid = before.gid, mode = before.mode } = changes;
    ownership.set(file, status, item.notes, { uid, gid, mode: mode & MODE.permissions });
  }

  function change(item: HostItem, changes: Changes, open: number | undefined): Attributes {
    const { mode, uid, gid, size, atime, mtime } = changes;
    if (size !== undefined) truncate(item, size, open);
    if (mode !== undefined || uid !== undefined || gid !== undefined) {
      setOwnership(item, { mode, ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) });
    }
    if (atime !== undefined || mtime !== undefined) {
      const times = new DataView(new ArrayBuffer(32));
      timeSpec(times, 0, atime);
      timeSpec(times, 16, mtime);
      const file = items.fileOf(item);
      succeeded(calls.utimensat(file, NOTHING, new Uint8Array(times.buffer), AT.emptyPath));
    }
    return attributes(item);
  }

  /** Owner and mode of what is made in a directory: one with set-group-ID gives its group on. */
  function inherited(directory: HostItem, mode: number, owner: Owner, isDirectory: boolean): Owner & { mode: number } {
    const parent = attributes(directory);
    if ((parent.mode & MODE.setGroupId) === 0) return { ...owner, mode };
    return { uid: owner.uid, gid: parent.gid, mode: isDirectory ? mode | MODE.setGroupId : mode };
  }

  /** Gives what was just made its owner and mode, or takes it away again. `made`: its descriptor where there is one. */
  function finish(directory: HostItem, name: Uint8Array, mode: number, owner: Owner, made?: number): Found<HostItem> {
    const { item, status, isNew } = items.find(directory, name);
    const isDirectory = typeOf({ mode }) === MODE.directory;
    try {
      // Somebody on the host may have put something else in its place.
      const isSame = made === undefined ? typeOf(status) === typeOf({ mode }) : statusOf(calls, made).key === item.key;
      if (!isSame) refuse(ERRNO.ESTALE);
      setOwnership(item, inherited(directory, mode & MODE.permissions, owner, isDirectory));
      return { item, attributes: attributes(item) };
    } catch (error) {
      if (isNew) items.release(item);
      throw error;
    }
  }

  function makeNode(directory: HostItem, name: Uint8Array, mode: number, owner: Owner): Found<HostItem> {
    const type = typeOf({ mode });
    if (type !== MODE.file && type !== MODE.fifo && type !== MODE.socket) refuse(ERRNO.EPERM);
    succeeded(calls.mknodat(items.fileOf(directory), cString(name), type | 0o600, 0));
    return finish(directory, name, mode, owner);
  }

  /** Opens a regular file. */
  function open(item: HostItem, how: OpenMode): number {
    const type = typeOf(statusOf(calls, items.fileOf(item)));
    if (type === MODE.directory) refuse(ERRNO.EISDIR);
    if (type !== MODE.file) refuse(type === MODE.link ? ERRNO.ELOOP : ERRNO.EOPNOTSUPP);
    return reopen(item, accessFlags(how));
  }

  /** Opens something that has a name already. */
  function openThere(directory: HostItem, name: Uint8Array, how: OpenMode): Found<HostItem> & { open: number } {
    const { item, isNew } = items.find(directory, name);
    try {
      return { item, open: open(item, how), attributes: attributes(item) };
    } catch (error) {
      if (isNew) items.release(item);
      throw error;
    }
  }

  const create: HostFolder['create'] = (directory, name, how, mode, owner) => {
    const flags = accessFlags({ ...how, truncate: false }) | OPEN.create | OPEN.exclusive | NO_FOLLOW | ALWAYS;
    const file = Number(calls.openat(items.fileOf(directory), cString(name), flags, 0o600));
    if (file < 0) {
      const errno = lastError();
      if (errno !== ERRNO.EEXIST || how.exclusive) refuse(errno);
      return openThere(directory, name, how);
    }
    try {
      return { ...finish(directory, name, MODE.file | mode, owner, file), open: file };
    } catch (error) {
      calls.close(file);
      throw error;
    }
  };

  /** The item of a name, if it is held. */
  function heldItem(directory: HostItem, name: Uint8Array): HostItem | undefined {
    try {
      return items.held(directory, name);
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  /** Something is about to lose its name. */
  function keepUsable(directory: HostItem, name: Uint8Array): void {
    const item = heldItem(directory, name);
    if (item !== undefined) items.pin(item);
  }

  function readMore(listing: HostListing, offset: bigint): readonly DirectoryEntry[] {
    succeeded(calls.lseek(listing.file, offset, SEEK.set));
    const length = succeeded(calls.getdents64(listing.file, listBuffer, LIST_BYTES));
    listing.offset = offset;
    listing.entries = entriesOf(listBuffer.subarray(0, length));
    return listing.entries;
  }

  /** Node's calls that wait elsewhere. */
  function sync(file: number, dataOnly: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = dataOnly ? fdatasyncCall : fsyncCall;
      call(file, (error) => {
        if (error === null) resolve();
        else reject(new Refusal(error.errno === undefined ? ERRNO.EIO : -error.errno));
      });
    });
  }

  return {
    root: items.root,
    lookup,
    release: items.release,
    count: items.count,
    end: items.close,
    attributes,
    change,
    readLink(item) {
      const target = new Uint8Array(LONGEST_LINK);
      return target.subarray(0, succeeded(calls.readlinkat(items.fileOf(item), NOTHING, target, LONGEST_LINK)));
    },
    makeDirectory(directory, name, mode, owner) {
      succeeded(calls.mkdirat(items.fileOf(directory), cString(name), 0o700));
      return finish(directory, name, MODE.directory | mode, owner);
    },
    makeNode,
    makeLink(directory, name, target) {
      succeeded(calls.symlinkat(cString(target), items.fileOf(directory), cString(name)));
      return lookup(directory, name);
    },
    addName(item, directory, name) {
      const from = pathOf(items.fileOf(item));
      succeeded(calls.linkat(AT.here, from, items.fileOf(directory), cString(name), AT.followLink));
      return lookup(directory, name);
    },
    remove(directory, name, isDirectory) {
      keepUsable(directory, name);
      succeeded(calls.unlinkat(items.fileOf(directory), cString(name), isDirectory ? AT.removeDirectory : 0));
    },
    rename(from, name, to, newName, replace) {
      if (replace === 'replace') keepUsable(to, newName);
      const flags = replace === 'refuse' ? RENAME.noReplace : replace === 'exchange' ? RENAME.exchange : 0;
      const [source, target] = [items.fileOf(from), items.fileOf(to)];
      succeeded(calls.renameat2(source, cString(name), target, cString(newName), flags));
      heldItem(to, newName);
      if (replace === 'exchange') heldItem(from, name);
    },
    open,
    create,
    close(file) {
      calls.close(file);
    },
    read: (file, position, into) => transfer(readvSync, file, position, into),
    write: (file, position, from) => transfer(writevSync, file, position, from),
    sync,
    allocate(file, mode, position, length) {
      succeeded(calls.fallocate(file, mode, position, length));
    },
    seek: (file, position, what) => succeeded(calls.lseek(file, position, SEEK[what])),
    openDirectory(item) {
      if (typeOf(statusOf(calls, items.fileOf(item))) !== MODE.directory) refuse(ERRNO.ENOTDIR);
      return { file: reopen(item, OPEN.readOnly | DIRECTORY), offset: -1n, entries: [] };
    },
    list(listing, offset) {
      if (offset !== 0n && listing.offset === offset) return listing.entries;
      const at = listing.entries.findIndex(({ next }) => next === offset);
      if (at === -1 || at === listing.entries.length - 1) return readMore(listing, offset);
      return listing.entries.slice(at + 1);
    },
    closeDirectory({ file }) {
      calls.close(file);
    },
    syncDirectory: ({ file }) => sync(file, false),
    statistics: () => fileSystemOf(calls, pathOf(items.fileOf(items.root))),
  };
}
