/**
 * A file that a machine boots from. It stays open while the machine runs, and the machine's thread reads it at every boot:
 * so it takes no memory in between, and a reset finds it whatever has become of its name.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { VirtsError } from '../../base/errors.ts';
import { fileError } from '../../images/apt/cache.ts';
import type { LentBytes } from '../../machine/boot.ts';
import type { BootFile } from '../machine-host.ts';
import { bootFileBuffer } from '../running-machine.ts';

/** No guest has as much memory. */
const MOST_BYTES = 2 ** 32;

function tooLarge(path: string, what: string, cause?: unknown): VirtsError {
  return new VirtsError('no-space', `The ${what} ${path} is larger than any guest's memory.`, { path }, cause);
}

/** A copy for all threads to see. */
export function sharedBytes(content: Uint8Array): Uint8Array {
  const bytes = bootFileBuffer(content.length);
  bytes.set(content);
  return bytes;
}

/** What a pipe or a device gives. */
function readOnce(fd: number, path: string, what: string): Uint8Array {
  try {
    return sharedBytes(readFileSync(fd));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_FS_FILE_TOO_LARGE') throw tooLarge(path, what, error);
    throw error;
  }
}

function open(path: string, what: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(error, path, 'read');
    throw new VirtsError('not-found', `There is no ${what} ${path}.`, { path }, error);
  }
}

/**
 * Opens a file to boot from. `what` names it in sentences: "kernel".
 * @throws VirtsError `not-found`, `bad-input`, `no-space`, `io`.
 */
export function openBootFile(path: string, what: string): BootFile {
  const descriptor = open(path, what);
  let stays = false;
  try {
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw new VirtsError('bad-input', `${path} is a directory, not a ${what}.`, { path });
    if (stat.size > MOST_BYTES) throw tooLarge(path, what);
    stays = stat.isFile();
    return stays ? { name: path, descriptor } : { name: path, bytes: readOnce(descriptor, path, what) };
  } catch (error) {
    throw fileError(error, path, 'read');
  } finally {
    if (!stays) closeSync(descriptor);
  }
}

export function closeBootFile(file: BootFile): void {
  if ('descriptor' in file) closeSync(file.descriptor);
}

/**
 * Reads a file, in any thread. Its bytes are mapped by themselves: an allocator that gives back many megabytes once takes
 * them for a habit, and returns nothing to the host from then on.
 * @throws VirtsError `io`, `no-space`.
 */
export function readOpenFile(name: string, descriptor: number): LentBytes {
  try {
    const { size } = fstatSync(descriptor);
    const buffer = new ArrayBuffer(size, { maxByteLength: size });
    const bytes = new Uint8Array(buffer, 0, size);
    let length = 0;
    while (length < size) {
      const count = readSync(descriptor, bytes, length, size - length, length);
      if (count === 0) break;
      length += count;
    }
    return { bytes: bytes.subarray(0, length), release: () => buffer.resize(0) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw fileError(error, name, 'read');
    throw new VirtsError('no-space', `The host has no memory to read ${name}.`, { path: name }, error);
  }
}
