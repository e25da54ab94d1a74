/** What the host tells of a file, and the entries of its directories, out of the C library's structures. */
import type { Attributes, DirectoryEntry, FolderStatistics, Time } from '../folder.ts';
import { AT, type Calls, NOTHING, succeeded } from './calls.ts';

/** `statx(2)`: everything of `stat(2)` and the time of birth. */
const MASK = 0xfff;
const STATX_SIZE = 256;

/** As the host has them: owner and mode are the host's. */
export interface Status extends Attributes {
  /** Says which file it is: unlike that of all others, of those before it on the same place of the disk too. */
  readonly key: string;
  /** Number of the device that it is on. */
  readonly device: number;
}

/** As `dev_t` is told to a guest: `new_encode_dev` of Linux. */
const encodeDevice = (major: number, minor: number) =>
  ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;

const result = new Uint8Array(STATX_SIZE);
const view = new DataView(result.buffer);

function timeAt(at: number): Time {
  return { seconds: view.getBigInt64(at, true), nanoseconds: view.getUint32(at + 8, true) };
}

/** Status of what a descriptor stands for. @throws Refusal. */
export function statusOf(calls: Calls, file: number): Status {
  succeeded(calls.statx(file, NOTHING, AT.emptyPath, MASK, result));
  const ino = view.getBigUint64(32, true);
  const device = encodeDevice(view.getUint32(136, true), view.getUint32(140, true));
  const key = `${device}:${ino}:${view.getBigInt64(80, true)}.${view.getUint32(88, true)}`;
  return {
    key,
    ino,
    size: view.getBigUint64(40, true),
    blocks: view.getBigUint64(48, true),
    atime: timeAt(64),
    mtime: timeAt(112),
    ctime: timeAt(96),
    mode: view.getUint16(28, true),
    links: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    rdev: encodeDevice(view.getUint32(128, true), view.getUint32(132, true)),
    blockSize: view.getUint32(4, true),
    device,
  };
}

/** Offsets in `struct linux_dirent64`. */
const DIRENT = { ino: 0, offset: 8, length: 16, type: 18, name: 19 } as const;

/** The entries that `getdents64(2)` gave. */
export function entriesOf(bytes: Uint8Array): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + DIRENT.name < bytes.length; ) {
    const length = data.getUint16(at + DIRENT.length, true);
    if (length < DIRENT.name + 1) break;
    const field = bytes.subarray(at + DIRENT.name, at + length);
    const end = field.indexOf(0);
    entries.push({
      name: field.slice(0, end === -1 ? field.length : end),
      ino: data.getBigUint64(at + DIRENT.ino, true),
      type: data.getUint8(at + DIRENT.type),
      next: data.getBigInt64(at + DIRENT.offset, true),
    });
    at += length;
  }
  return entries;
}

/** Bytes of `struct statvfs` of 64-bit systems, with room. */
const STATVFS_SIZE = 256;

/** @throws Refusal. */
export function fileSystemOf(calls: Calls, path: Uint8Array): FolderStatistics {
  const bytes = new DataView(new ArrayBuffer(STATVFS_SIZE));
  succeeded(calls.statvfs(path, new Uint8Array(bytes.buffer)));
  const field = (index: number) => bytes.getBigUint64(8 * index, true);
  return {
    blockSize: Number(field(0)),
    fragmentSize: Number(field(1)),
    blocks: field(2),
    free: field(3),
    available: field(4),
    files: field(5),
    freeFiles: field(6),
    nameLength: Number(field(10)),
  };
}
