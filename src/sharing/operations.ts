/** What each message asks of the folder. */
import { type Bytes, byteLength, slice } from '../base/pieces.ts';
import {
  type Attributes,
  type Changes,
  ERRNO,
  type Folder,
  type Found,
  type OpenMode,
  Refusal,
  refuse,
} from './folder.ts';
import { createListing } from './listing.ts';
import { type Message, putAttributesReply, putEntry, type Reply } from './message.ts';
import { ENTRY_SIZE, OPEN_FLAG, OPENED, OPERATION, RENAME_FLAG, SEEK, SET, SYNC_FLAG } from './protocol.ts';
import type { Node, Session } from './session.ts';

/**
 * Does what a message asks for. `data`: what a write writes. `into`: where a read puts what it reads, and how much room the reply has.
 * Returns the length of the reply behind its header, or an errno below 0; throws `Refusal`. What takes long gives a promise, and has
 * no reply but the header.
 */
export type Operation = (message: Message, data: Bytes, into: Bytes) => number | Promise<number>;

export interface OperationsOptions<Item, Open, Listing> {
  readonly folder: Folder<Item, Open, Listing>;
  readonly readOnly: boolean;
  readonly session: Session<Item, Open, Listing>;
  readonly body: Reply;
  now(): number;
}

/** A change of a file may not show in its times while they are younger than this, in milliseconds. */
const SETTLED_MS = 2000;
const MOST_FILE = Number.MAX_SAFE_INTEGER;

function openMode(flags: number): OpenMode {
  const access = flags & OPEN_FLAG.access;
  if (access === OPEN_FLAG.access) refuse(ERRNO.EINVAL);
  return {
    read: access !== 1,
    write: access !== 0,
    append: (flags & OPEN_FLAG.append) !== 0,
    truncate: (flags & OPEN_FLAG.truncate) !== 0,
    sync: (flags & (OPEN_FLAG.sync | OPEN_FLAG.dataSync)) !== 0,
  };
}

function changesOf(message: Message): Changes {
  const valid = message.u32(0);
  const has = (bit: number) => (valid & bit) !== 0;
  const changes: { -readonly [K in keyof Changes]: Changes[K] } = {};
  if (has(SET.size)) changes.size = message.u64(16);
  if (has(SET.mode)) changes.mode = message.u32(68);
  if (has(SET.uid)) changes.uid = message.u32(76);
  if (has(SET.gid)) changes.gid = message.u32(80);
  if (has(SET.atimeNow)) changes.atime = 'now';
  else if (has(SET.atime)) changes.atime = message.time(32, 56);
  if (has(SET.mtimeNow)) changes.mtime = 'now';
  else if (has(SET.mtime)) changes.mtime = message.time(40, 60);
  return changes;
}

/** An operation whose reply is its header. */
function silent(work: (message: Message) => void): Operation {
  return (message) => {
    work(message);
    return 0;
  };
}

/** Whether what was read of a file at `before` is what is in it at `after`. */
function isUnchanged(before: Attributes | undefined, after: Attributes): boolean {
  if (before === undefined || before.size !== after.size) return false;
  return [before.mtime, before.ctime].every(({ seconds, nanoseconds }, i) => {
    const other = i === 0 ? after.mtime : after.ctime;
    return seconds === other.seconds && nanoseconds === other.nanoseconds;
  });
}

export function createOperations<Item, Open, Listing>(
  options: OperationsOptions<Item, Open, Listing>,
): ReadonlyMap<number, Operation> {
  const { folder, session, body, now, readOnly } = options;
  const { readDirectory } = createListing(options);
  const item = (message: Message) => session.node(message.node).item;

  /** Tells the guest of an item: the node, and `struct fuse_entry_out`. */
  function entry(found: Found<Item>): number {
    return putEntry(body, 0, session.tell(found).number, found.attributes);
  }

  function putOpened(at: number, number: number, flags: number): number {
    body.view.setBigUint64(at, BigInt(number), true);
    body.view.setUint32(at + 8, flags, true);
    body.view.setUint32(at + 12, 0, true);
    return at + 16;
  }

  /** Flags for a node that is opened: what the guest has of it stays good if it surely is what it was. */
  function cacheFlags(node: Node<Item>, attributes: Attributes, how: OpenMode): number {
    const keep = isUnchanged(node.opened, attributes);
    const isSettled = Number(attributes.ctime.seconds) * 1000 + SETTLED_MS < now();
    node.opened = isSettled && !how.write ? attributes : undefined;
    return keep ? OPENED.keepCache : 0;
  }

  function open(message: Message): number {
    const how = openMode(message.u32(0));
    if (readOnly && (how.write || how.truncate)) refuse(ERRNO.EROFS);
    const node = session.node(message.node);
    session.roomToOpen();
    const flags = cacheFlags(node, folder.attributes(node.item), how);
    const opened = folder.open(node.item, how);
    return putOpened(0, session.keep({ kind: 'file', open: opened, writes: how.write }), flags);
  }

  function create(message: Message): number {
    const flags = message.u32(0);
    const how = { ...openMode(flags), exclusive: (flags & OPEN_FLAG.exclusive) !== 0 };
    const directory = item(message);
    const name = message.name(16);
    session.roomToOpen();
    const made = folder.create(directory, name, how, message.u32(4), message);
    let node: Node<Item>;
    try {
      node = session.tell(made);
    } catch (error) {
      folder.close(made.open);
      throw error;
    }
    putEntry(body, 0, node.number, made.attributes);
    return putOpened(ENTRY_SIZE, session.keep({ kind: 'file', open: made.open, writes: how.write }), 0);
  }

  function lookup(message: Message): number {
    const directory = item(message);
    try {
      return entry(folder.lookup(directory, message.name(0)));
    } catch (error) {
      // That there is nothing of a name is worth knowing for a while, too.
      if (error instanceof Refusal && error.errno === ERRNO.ENOENT) return putEntry(body, 0, 0, undefined);
      throw error;
    }
  }

  function setAttributes(message: Message): number {
    const changes = changesOf(message);
    const node = session.node(message.node);
    const opened = (message.u32(0) & SET.file) === 0 ? undefined : session.file(message.number(8));
    const file = opened?.writes === true ? opened.open : undefined;
    return putAttributesReply(body, folder.change(node.item, changes, file));
  }

  function rename(message: Message, flags: number, namesAt: number): number {
    if ((flags & ~(RENAME_FLAG.noReplace | RENAME_FLAG.exchange)) !== 0 || flags === 3) refuse(ERRNO.EINVAL);
    const name = message.name(namesAt);
    const newName = message.name(namesAt + name.length + 1);
    const to = session.node(message.number(0)).item;
    const how = flags === RENAME_FLAG.noReplace ? 'refuse' : flags === RENAME_FLAG.exchange ? 'exchange' : 'replace';
    folder.rename(item(message), name, to, newName, how);
    return 0;
  }

  function remove(message: Message, isDirectory: boolean): number {
    folder.remove(item(message), message.name(0), isDirectory);
    return 0;
  }

  function read(message: Message, _data: Bytes, into: Bytes): number {
    const { open: file } = session.file(message.number(0));
    const length = Math.min(message.u32(16), byteLength(into));
    return folder.read(file, message.number(8), slice(into, 0, length));
  }

  function write(message: Message, data: Bytes): number {
    const size = message.u32(16);
    if (size > byteLength(data)) refuse(ERRNO.EINVAL);
    const { open: file } = session.file(message.number(0));
    body.view.setUint32(0, folder.write(file, message.number(8), slice(data, 0, size)), true);
    body.view.setUint32(4, 0, true);
    return 8;
  }

  function statistics(): number {
    const { blocks, free, available, files, freeFiles, blockSize, fragmentSize, nameLength } = folder.statistics();
    body.bytes.fill(0, 0, 80);
    for (const [i, value] of [blocks, free, available, files, freeFiles].entries()) {
      body.view.setBigUint64(8 * i, value, true);
    }
    for (const [i, value] of [blockSize, nameLength, fragmentSize].entries()) {
      body.view.setUint32(40 + 4 * i, value, true);
    }
    return 80;
  }

  function allocate(message: Message): number {
    const { open: file } = session.file(message.number(0));
    const [position, length] = [message.number(8), message.number(16)];
    if (position + length > MOST_FILE) refuse(ERRNO.EFBIG);
    folder.allocate(file, message.u32(24), position, length);
    return 0;
  }

  function seek(message: Message): number {
    const { open: file } = session.file(message.number(0));
    const whence = message.u32(16);
    const position = message.number(8);
    if ((whence !== SEEK.data && whence !== SEEK.hole) || position > MOST_FILE) refuse(ERRNO.EINVAL);
    body.view.setBigUint64(0, BigInt(folder.seek(file, position, whence === SEEK.data ? 'data' : 'hole')), true);
    return 8;
  }

  function batchForget(message: Message): number {
    const count = message.u32(0);
    for (let i = 0; i < count; i++) session.forget(message.number(8 + 16 * i), message.number(16 + 16 * i));
    return 0;
  }

  /** Operations that change nothing in the folder. */
  const reading: readonly (readonly [number, Operation])[] = [
    [OPERATION.lookup, lookup],
    [OPERATION.forget, silent((message) => session.forget(message.node, message.number(0)))],
    [OPERATION.batchForget, batchForget],
    [OPERATION.interrupt, () => 0],
    [OPERATION.getAttributes, (message) => putAttributesReply(body, folder.attributes(item(message)))],
    [
      OPERATION.readLink,
      (message) => {
        const target = folder.readLink(item(message));
        body.bytes.set(target);
        return target.length;
      },
    ],
    [OPERATION.open, open],
    [OPERATION.read, read],
    [OPERATION.release, silent((message) => session.release(message.number(0), 'file'))],
    [OPERATION.statistics, statistics],
    [OPERATION.seek, seek],
    [
      OPERATION.openDirectory,
      (message) => {
        const node = session.node(message.node);
        session.roomToOpen();
        return putOpened(0, session.keep({ kind: 'directory', listing: folder.openDirectory(node.item) }), 0);
      },
    ],
    [OPERATION.readDirectory, (message, _data, into) => readDirectory(message, into, false)],
    [OPERATION.readDirectoryPlus, (message, _data, into) => readDirectory(message, into, true)],
    [OPERATION.releaseDirectory, silent((message) => session.release(message.number(0), 'directory'))],
    [OPERATION.syncDirectory, (message) => folder.syncDirectory(session.directory(message.number(0))).then(() => 0)],
    [
      OPERATION.sync,
      (message) => {
        const { open: file } = session.file(message.number(0));
        return folder.sync(file, (message.u32(8) & SYNC_FLAG.dataOnly) !== 0).then(() => 0);
      },
    ],
  ];

  const changing: readonly (readonly [number, Operation])[] = [
    [OPERATION.setAttributes, setAttributes],
    [
      OPERATION.symlink,
      (message) => {
        const name = message.name(0);
        return entry(folder.makeLink(item(message), name, message.text(name.length + 1), message));
      },
    ],
    [OPERATION.makeNode, (message) => entry(folder.makeNode(item(message), message.name(16), message.u32(0), message))],
    [
      OPERATION.makeDirectory,
      (message) => entry(folder.makeDirectory(item(message), message.name(8), message.u32(0), message)),
    ],
    [OPERATION.unlink, (message) => remove(message, false)],
    [OPERATION.removeDirectory, (message) => remove(message, true)],
    [OPERATION.rename, (message) => rename(message, 0, 8)],
    [OPERATION.rename2, (message) => rename(message, message.u32(8), 16)],
    [
      OPERATION.link,
      (message) => entry(folder.addName(session.node(message.number(0)).item, item(message), message.name(8))),
    ],
    [OPERATION.write, write],
    [OPERATION.create, create],
    [OPERATION.allocate, allocate],
  ];
  const refused: Operation = () => refuse(ERRNO.EROFS);
  return new Map([...reading, ...(readOnly ? changing.map(([operation]) => [operation, refused] as const) : changing)]);
}
