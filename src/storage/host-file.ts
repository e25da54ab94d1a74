/** Files of the host. */
import { close, constants, fdatasync, fstat, ftruncate, open, readv, statfs, writev } from 'node:fs';
import { pid } from 'node:process';
import { promisify } from 'node:util';
import { fileReason, VirtsError } from '../base/errors.ts';
import { type ByteFile, type Bytes, byteLength, slice, writeZeros } from './byte-file.ts';
import { lockImage, readCached, writeHere, zeroRange } from './host-calls.ts';
import { createPatience } from './patience.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const syncFile = promisify(fdatasync);
const truncateFile = promisify(ftruncate);
const statFileSystem = promisify(statfs);

/**
 * File systems (`statfs(2)`, `f_type`) whose writes go to memory of this host, so that only a lack of that makes them wait: ext2 to
 * ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, overlayfs. A network's may wait for ever.
 */
const LOCAL_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994, 0x794c_7630,
]);

/** Turns a failed operation on a disk's file into a sentence. */
export function diskError(error: unknown, path: string, doing: 'opened' | 'read' | 'written'): VirtsError {
  if (error instanceof VirtsError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const context = { path, code };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const message = `The host has no room for what the guest writes to ${path}: its disk is full.`;
    return new VirtsError('no-space', message, context, error);
  }
  if (code === 'ENOENT') return new VirtsError('not-found', `There is no disk image ${path}.`, context, error);
  return new VirtsError('io', `The disk image ${path} could not be ${doing}${fileReason(error)}.`, context, error);
}

/** For all that is done with a file since somebody cut it off: a guest must not take the zeros there for what it wrote. */
function cutError(path: string): VirtsError {
  const message = `The disk image ${path} was cut off while a machine uses it, and lost data; stop the machine and bring the image back from a copy.`;
  return new VirtsError('io', message, { path });
}

/** One call, which may transfer a part only: `readv` or `writev`. */
function transfer(call: typeof readv | typeof writev, fd: number, bytes: Bytes, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    call(fd, bytes as Uint8Array[], position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

interface OpenFile {
  readonly path: string;
  readonly fd: number;
  readonly size: number;
  readonly readOnly: boolean;
  readonly isLocal: boolean;
  /** Whether somebody counts on its name. */
  readonly isNamed: boolean;
}

function hostFile({ path, fd, readOnly, isLocal, isNamed, ...opened }: OpenFile): ByteFile {
  let { size } = opened;
  let isCut = false;
  let isDeleted = false;
  const patience = createPatience(() => performance.now());

  async function read(position: number, into: Bytes): Promise<void> {
    const total = byteLength(into);
    // What is written from now on may make the file longer before this read returns.
    const before = size;
    let done = readCached(fd, position, into);
    while (done < total) {
      const rest = done === 0 ? into : slice(into, done, total - done);
      const count = await transfer(readv, fd, rest, position + done);
      if (count === 0) break;
      done += count;
    }
    if (position + done < Math.min(before, size, position + total)) isCut = true;
    if (isCut) throw cutError(path);
    if (done < total) for (const piece of slice(into, done, total - done)) piece.fill(0);
  }

  async function write(position: number, from: Bytes): Promise<void> {
    const total = byteLength(from);
    let done = isLocal && patience.may() ? patience.timed(() => writeHere(fd, position, from), total) : 0;
    if (done > 0) size = Math.max(size, position + done);
    while (done < total) {
      const rest = done === 0 ? from : slice(from, done, total - done);
      done += await transfer(writev, fd, rest, position + done);
      size = Math.max(size, position + done);
    }
  }

  async function sync(): Promise<void> {
    await syncFile(fd);
    const before = size;
    const now = await statFile(fd);
    isDeleted = isNamed && now.nlink === 0;
    if (now.size < Math.min(before, size)) isCut = true;
    // What is on the disk now is not what the guest counts on.
    if (isCut) throw cutError(path);
  }

  async function attempt<T>(doing: 'read' | 'written', work: () => Promise<T>): Promise<T> {
    try {
      if (isCut) throw cutError(path);
      return await work();
    } catch (error) {
      throw diskError(error, path, doing);
    }
  }

  const file: ByteFile = {
    name: path,
    readOnly,
    get size() {
      return size;
    },
    read: (position, into) => attempt('read', () => read(position, into)),
    write: (position, from) => attempt('written', () => write(position, from)),
    async zero(position, length, unmap) {
      const inside = Math.min(length, size - position);
      if (inside > 0 && !(await zeroRange(fd, position, inside, unmap))) await writeZeros(file, position, inside);
    },
    sync: () => attempt('written', sync),
    truncate: (length) =>
      attempt('written', async () => {
        size = Math.min(size, length);
        await truncateFile(fd, length);
        size = length;
      }),
    warning() {
      if (!isDeleted) return undefined;
      return `The disk image ${path} was deleted while a machine uses it; what the guest writes is lost when the machine ends, unless you copy /proc/${pid}/fd/${fd} before.`;
    },
    close: () => closeFile(fd),
  };
  return file;
}

export interface OpenOptions {
  readonly readOnly: boolean;
  /** Make the file; it must not exist. */
  readonly create?: boolean;
  /** `false`: only to look at what does not change while another uses it. */
  readonly locked?: boolean;
}

/**
 * Opens a regular file and locks it against other users. Throws VirtsError 'not-found'; 'io' for a file that cannot be opened or
 * that another program uses; 'unsupported' for what is no regular file.
 */
export async function openHostFile(
  path: string,
  { readOnly, create = false, locked = true }: OpenOptions,
): Promise<ByteFile> {
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = constants;
  const flags = (readOnly ? O_RDONLY : O_RDWR) | (create ? O_CREAT | O_EXCL : 0);
  let fd: number;
  try {
    // A named pipe would make the call wait for its other end.
    fd = await openFile(path, flags | O_NONBLOCK, 0o666);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new VirtsError('io', `${path} exists already; give another name.`, { path }, error);
    if (create && code === 'ENOENT') {
      throw new VirtsError('io', `${path} could not be made: its directory does not exist.`, { path }, error);
    }
    throw diskError(error, path, 'opened');
  }
  try {
    const stat = await statFile(fd);
    if (stat.isDirectory()) throw new VirtsError('bad-input', `${path} is a directory, not a disk image.`, { path });
    if (!stat.isFile()) {
      throw new VirtsError('unsupported', `${path} is no regular file; disks of the host itself are not supported.`, {
        path,
      });
    }
    if (locked && !lockImage(fd, !readOnly)) {
      const message = `The disk image ${path} is in use by another machine or program; stop that one, or use readonly or snapshot on a copy.`;
      throw new VirtsError('io', message, { path });
    }
    const isLocal = LOCAL_FILE_SYSTEMS.has((await statFileSystem(path)).type);
    return hostFile({ path, fd, size: stat.size, readOnly, isLocal, isNamed: !create });
  } catch (error) {
    await closeFile(fd);
    throw error;
  }
}
