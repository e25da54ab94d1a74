/**
 * A folder that a guest is given, as the server sees it: what is behind it (a directory of the host, or anything that can do the same)
 * knows nothing of protocols and devices. Its calls may take as long as a file system does: whoever serves a folder
 * does so in a thread that may wait.
 */
import type { Bytes } from '../base/pieces.ts';

/** Numbers of errors as Linux has them on all architectures. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EACCES: 13,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  EFBIG: 27,
  EROFS: 30,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ESTALE: 116,
} as const;

/** What the calls of a folder throw: something that cannot be done, and why, as an `errno`. */
export class Refusal extends Error {
  readonly errno: number;
  constructor(errno: number) {
    super(`errno ${errno}`);
    this.name = 'Refusal';
    this.errno = errno;
  }
}

/** One for each number: programs look for many files that are not there, and nobody looks at where this was thrown. */
const refusals = new Map<number, Refusal>();

/** Throws the `Refusal` of an error. */
export function refuse(errno: number): never {
  let refusal = refusals.get(errno);
  if (refusal === undefined) {
    refusal = new Refusal(errno);
    refusals.set(errno, refusal);
  }
  throw refusal;
}

/** Bits of `Attributes.mode`. */
export const MODE = {
  type: 0o170000,
  socket: 0o140000,
  link: 0o120000,
  file: 0o100000,
  block: 0o060000,
  directory: 0o040000,
  character: 0o020000,
  fifo: 0o010000,
  setUserId: 0o4000,
  setGroupId: 0o2000,
  permissions: 0o7777,
} as const;

/** A point in time since 1970. */
export interface Time {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

/** As `stat(2)` tells them, owner and mode as the guest is to see them. */
export interface Attributes {
  readonly ino: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Units of 512 bytes. */
  readonly blocks: bigint;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  readonly mode: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blockSize: number;
}

/** What of them is to change. */
export interface Changes {
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly size?: bigint | undefined;
  readonly atime?: Time | 'now' | undefined;
  readonly mtime?: Time | 'now' | undefined;
}

/** Who asks, by the guest's numbers; what they make is theirs. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** How a file is opened. */
export interface OpenMode {
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly truncate: boolean;
  /** Each write is on stable storage when it is answered. */
  readonly sync: boolean;
}

export interface DirectoryEntry {
  readonly name: Uint8Array;
  readonly ino: bigint;
  /** The type as a directory tells it: bits 12 to 15 of a mode, 0 if unknown. */
  readonly type: number;
  /** Where listing goes on behind this entry; lasts as long as the directory is open. */
  readonly next: bigint;
}

export interface FolderStatistics {
  readonly blocks: bigint;
  readonly free: bigint;
  readonly available: bigint;
  readonly files: bigint;
  readonly freeFiles: bigint;
  readonly blockSize: number;
  readonly fragmentSize: number;
  readonly nameLength: number;
}

export interface Found<Item> {
  readonly item: Item;
  readonly attributes: Attributes;
}

/**
 * An `Item` is a file, a directory or whatever else is in the folder: itself, not its name, so that it stays usable when it
 * is renamed or removed. There is one for each as long as it is held: from the first time that it is found until `release`.
 * Names are one component of a path, without NUL and `/`, neither `.` nor `..`. Nothing follows a symbolic link. All throw `Refusal`.
 */
export interface Folder<Item = object, Open = unknown, Listing = unknown> {
  readonly root: Item;
  lookup(directory: Item, name: Uint8Array): Found<Item>;
  release(item: Item): void;
  attributes(item: Item): Attributes;
  /** Changes attributes; returns all of them as they are then. `open`: the item, opened for writing. */
  change(item: Item, changes: Changes, open: Open | undefined): Attributes;
  readLink(item: Item): Uint8Array;

  makeDirectory(directory: Item, name: Uint8Array, mode: number, owner: Owner): Found<Item>;
  /** A regular file, a FIFO or a socket. */
  makeNode(directory: Item, name: Uint8Array, mode: number, owner: Owner): Found<Item>;
  makeLink(directory: Item, name: Uint8Array, target: Uint8Array, owner: Owner): Found<Item>;
  addName(item: Item, directory: Item, name: Uint8Array): Found<Item>;
  remove(directory: Item, name: Uint8Array, isDirectory: boolean): void;
  /** `replace`: what happens to something of the new name. */
  rename(from: Item, name: Uint8Array, to: Item, newName: Uint8Array, replace: 'replace' | 'refuse' | 'exchange'): void;

  open(item: Item, how: OpenMode): Open;
  /** `exclusive`: refuse if there is something of that name. */
  create(
    directory: Item,
    name: Uint8Array,
    how: OpenMode & { readonly exclusive: boolean },
    mode: number,
    owner: Owner,
  ): Found<Item> & { readonly open: Open };
  close(open: Open): void;
  /** Returns how many bytes there were. */
  read(open: Open, position: number, into: Bytes): number;
  /** Returns how many bytes were written, fewer than there are only where the host took no more. */
  write(open: Open, position: number, from: Bytes): number;
  /** Makes it stable, its times and the like too unless `dataOnly`. Rejects with `Refusal`. */
  sync(open: Open, dataOnly: boolean): Promise<void>;
  /** `fallocate(2)` and the data and holes of `lseek(2)`. */
  allocate(open: Open, mode: number, position: number, length: number): void;
  seek(open: Open, position: number, what: 'data' | 'hole'): number;

  openDirectory(item: Item): Listing;
  /** Entries from an offset on, `.` and `..` among them: 0, or the `next` of one before. None at the end. */
  list(listing: Listing, offset: bigint): readonly DirectoryEntry[];
  closeDirectory(listing: Listing): void;
  syncDirectory(listing: Listing): Promise<void>;

  statistics(): FolderStatistics;
}
