/**
 * Calls to the host's C library that Node does not offer: locks on files, holes in them, and transfers that never wait for a
 * disk. Linux only; elsewhere they do nothing.
 */
import { arch, platform } from 'node:process';
import koffi from 'koffi';
import type { Bytes } from './byte-file.ts';

type FileControl = (file: number, command: number, type: string, lock: Uint8Array) => number;
type Allocate = { async(...args: [number, number, number, number, (error: unknown, result: number) => void]): void };

type Transfer = (file: number, vector: Uint32Array, count: number, position: number, flags: number) => number;

interface Calls {
  readonly fcntl: FileControl;
  readonly fallocate: Allocate;
  /** Absent in old C libraries. */
  readonly preadv2: Transfer | undefined;
  readonly pwritev2: Transfer | undefined;
}

/** Processors that `setVector` knows the layout for. */
const LITTLE_ENDIAN_64: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64'];

let calls: Calls | undefined;

/** The calls, looked up when first needed: most runs need none. */
function hostCalls(): Calls | undefined {
  if (platform !== 'linux') return undefined;
  if (calls === undefined) {
    const library = koffi.load(null);
    const transfer = (name: string): Transfer | undefined => {
      if (!LITTLE_ENDIAN_64.includes(arch)) return undefined;
      const parameters = 'int fd, void *vector, int count, int64_t position, int flags';
      try {
        return library.func(`int64_t ${name}(${parameters})`) as unknown as Transfer;
      } catch {
        return undefined;
      }
    };
    calls = {
      preadv2: transfer('preadv2'),
      pwritev2: transfer('pwritev2'),
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

/** `preadv2(2)`: give up where the data is not in the host's memory. */
const NO_WAIT = 8;
/** The host takes that many pieces at once. */
const MAX_PIECES = 1024;

/** An address and a length for each piece (`struct iovec` of 64-bit hosts), as words. */
const vector = new Uint32Array(4 * MAX_PIECES);
/** Where memories lie that threads share: these never move. */
const addresses = new WeakMap<SharedArrayBuffer, number>();

function addressOf(memory: SharedArrayBuffer): number {
  let address = addresses.get(memory);
  if (address === undefined) {
    address = Number(koffi.address(new Uint8Array(memory)));
    addresses.set(memory, address);
  }
  return address;
}

/** Names the pieces in `vector`; `false` where one is no shared memory, which the collector may move, or there are too many. */
function setVector(bytes: Bytes): boolean {
  if (bytes.length > MAX_PIECES) return false;
  for (const [i, { buffer, byteOffset, length }] of bytes.entries()) {
    if (!(buffer instanceof SharedArrayBuffer)) return false;
    const address = addressOf(buffer) + byteOffset;
    vector[4 * i] = address;
    vector[4 * i + 1] = address / 2 ** 32;
    vector[4 * i + 2] = length;
  }
  return true;
}

/**
 * Reads what the host has in memory of a range; returns how many bytes that were from its beginning. Asking another thread to
 * read takes many times as long as this. 0 for an error, too: whoever then reads in the usual way hears of it.
 */
export function readCached(file: number, position: number, into: Bytes): number {
  const call = hostCalls()?.preadv2;
  return call !== undefined && setVector(into) ? Math.max(0, call(file, vector, into.length, position, NO_WAIT)) : 0;
}

/** Writes in this thread, which waits; returns how many bytes were written, as above. */
export function writeHere(file: number, position: number, from: Bytes): number {
  const call = hostCalls()?.pwritev2;
  return call !== undefined && setVector(from) ? Math.max(0, call(file, vector, from.length, position, 0)) : 0;
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
