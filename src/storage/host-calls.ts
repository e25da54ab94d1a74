/** Calls to the host's C library that Node does not offer: locks on files, and holes in them. Linux only; elsewhere they do nothing. */
import { platform } from 'node:process';
import koffi from 'koffi';

type FileControl = (file: number, command: number, type: string, lock: Uint8Array) => number;
type Allocate = { async(...args: [number, number, number, number, (error: unknown, result: number) => void]): void };

interface Calls {
  readonly fcntl: FileControl;
  readonly fallocate: Allocate;
}

let calls: Calls | undefined;

/** The calls, looked up when first needed: most runs need none. */
function hostCalls(): Calls | undefined {
  if (platform !== 'linux') return undefined;
  if (calls === undefined) {
    const library = koffi.load(null);
    calls = {
      fcntl: library.func('int fcntl(int fd, int command, ...)') as FileControl,
      fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)') as unknown as Allocate,
    };
  }
  return calls;
}

/** `fallocate(2)`: modes that keep the file's size. */
const MODE = { punchHole: 3, zeroRange: 0x11 } as const;

/** Makes a range of a file zero, its space given back or kept; `false` if the host or its file system cannot. */
export function zeroRange(file: number, position: number, length: number, unmap: boolean): Promise<boolean> {
  const fallocate = hostCalls()?.fallocate;
  if (fallocate === undefined) return Promise.resolve(false);
  const mode = unmap ? MODE.punchHole : MODE.zeroRange;
  return new Promise((resolve) => {
    fallocate.async(file, mode, position, length, (error, result) => resolve(!error && result === 0));
  });
}

/** Locks of an open file description (`fcntl(2)`). */
const COMMAND = { get: 36, set: 37 } as const;
const LOCK = { read: 0, write: 1, none: 2 } as const;

/** `struct flock` of 64-bit Linux, for one byte. */
function lockRecord(type: number, byte: number): Uint8Array {
  const record = new Uint8Array(32);
  const view = new DataView(record.buffer);
  view.setInt16(0, type, true);
  view.setBigInt64(8, BigInt(byte), true);
  view.setBigInt64(16, 1n, true);
  return record;
}

/** Takes a lock on a whole file, until its open file description is closed by all who have it. `false`: somebody has it. */
export function lockFile(file: number): boolean {
  const fcntl = hostCalls()?.fcntl;
  return fcntl === undefined || fcntl(file, COMMAND.set, 'void *', lockRecord(LOCK.write, 0)) === 0;
}

/** Whether another open file description has the lock of `lockFile`. */
export function isFileLocked(file: number): boolean {
  const fcntl = hostCalls()?.fcntl;
  const record = lockRecord(LOCK.write, 0);
  if (fcntl === undefined || fcntl(file, COMMAND.get, 'void *', record) !== 0) return false;
  return new DataView(record.buffer).getInt16(0, true) !== LOCK.none;
}

/**
 * The bytes that QEMU's tools lock in an image they use, so that neither they nor we open what the other writes to: from 100
 * on what one does, from 200 on what one bears nobody else doing.
 */
const BYTE = { does: 100, bars: 200 } as const;
const ACTION = { read: 0, write: 1, resize: 3 } as const;

/** Takes the locks of a user of an image, until the file is closed. `false`: another's use and this one exclude each other. */
export function lockImage(file: number, writes: boolean): boolean {
  const fcntl = hostCalls()?.fcntl;
  if (fcntl === undefined) return true;
  const does: number[] = writes ? [ACTION.read, ACTION.write, ACTION.resize] : [ACTION.read];
  const bars: number[] = [ACTION.write, ACTION.resize];
  const own = [...does.map((action) => BYTE.does + action), ...bars.map((action) => BYTE.bars + action)];
  const foreign = [...does.map((action) => BYTE.bars + action), ...bars.map((action) => BYTE.does + action)];
  for (const byte of own) {
    // A file system without locks has none to exclude anybody by.
    if (fcntl(file, COMMAND.set, 'void *', lockRecord(LOCK.read, byte)) !== 0) return true;
  }
  return foreign.every((byte) => {
    const record = lockRecord(LOCK.write, byte);
    if (fcntl(file, COMMAND.get, 'void *', record) !== 0) return true;
    return new DataView(record.buffer).getInt16(0, true) === LOCK.none;
  });
}
