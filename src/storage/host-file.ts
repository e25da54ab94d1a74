/** Files of the host. */
import { close, constants, fdatasync, fstat, ftruncate, open, readv, writev } from 'node:fs';
import { promisify } from 'node:util';
import { fileReason, VirtsError } from '../base/errors.ts';
import { type ByteFile, type Bytes, byteLength, slice, writeZeros } from './byte-file.ts';
import { lockImage, zeroRange } from './host-calls.ts';

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const syncFile = promisify(fdatasync);
const truncateFile = promisify(ftruncate);

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

/** One call, which may transfer a part only: `readv` or `writev`. */
function transfer(call: typeof readv | typeof writev, fd: number, bytes: Bytes, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    call(fd, bytes as Uint8Array[], position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

function hostFile(path: string, fd: number, initialSize: number, readOnly: boolean): ByteFile {
  let size = initialSize;

  async function read(position: number, into: Bytes): Promise<void> {
    const total = byteLength(into);
    let done = 0;
    while (done < total) {
      const rest = done === 0 ? into : slice(into, done, total - done);
      const count = await transfer(readv, fd, rest, position + done);
      if (count === 0) break;
      done += count;
    }
    if (done < total) for (const piece of slice(into, done, total - done)) piece.fill(0);
  }

  async function write(position: number, from: Bytes): Promise<void> {
    const total = byteLength(from);
    for (let done = 0; done < total; ) {
      const rest = done === 0 ? from : slice(from, done, total - done);
      done += await transfer(writev, fd, rest, position + done);
      size = Math.max(size, position + done);
    }
  }

  async function attempt<T>(doing: 'read' | 'written', work: () => Promise<T>): Promise<T> {
    try {
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
    sync: () => attempt('written', () => syncFile(fd)),
    truncate: (length) =>
      attempt('written', async () => {
        await truncateFile(fd, length);
        size = length;
      }),
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
    return hostFile(path, fd, stat.size, readOnly);
  } catch (error) {
    await closeFile(fd);
    throw error;
  }
}
