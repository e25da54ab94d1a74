/** What a guest wrote to its first serial port, kept in two files of bounded size. */
import { closeSync, fstatSync, openSync, readSync, renameSync, writeSync } from 'node:fs';

/** Bytes of a file before it becomes the older one. */
const MOST_BYTES = 4 * 2 ** 20;

/** Name of the older file. */
export const olderLog = (path: string): string => `${path}.1`;

export interface ConsoleLog {
  /** Failures are the log's loss, not the guest's. */
  write(bytes: Uint8Array): void;
  close(): void;
}

/** Opens a log to add to it. Throws what `open` throws. */
export function openConsoleLog(path: string, limit = MOST_BYTES): ConsoleLog {
  let file = openSync(path, 'a', 0o600);
  let size = fstatSync(file).size;
  function rotate(): void {
    renameSync(path, olderLog(path));
    const next = openSync(path, 'a', 0o600);
    closeSync(file);
    file = next;
    size = 0;
  }
  return {
    write(bytes) {
      try {
        if (size > 0 && size + bytes.length > limit) rotate();
        for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
        size += bytes.length;
      } catch {
        // The host's disk is full, most likely: what is kept stays.
      }
    },
    close: () => closeSync(file),
  };
}

function readFrom(file: number, position: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = position; ; ) {
    const piece = Buffer.alloc(1 << 16);
    const count = readSync(file, piece, 0, piece.length, at);
    if (count === 0) return Buffer.concat(pieces);
    pieces.push(piece.subarray(0, count));
    at += count;
  }
}

export interface LogReader {
  /** What was written since the last call; at the first, all that is kept. */
  read(): Buffer;
  close(): void;
}

/** Reads a log while others write to it. */
export function openLogReader(path: string): LogReader {
  let file: number | undefined;
  let position = 0;

  function open(name: string): boolean {
    try {
      file = openSync(name, 'r');
      position = 0;
      return true;
    } catch {
      return false;
    }
  }
  function rest(): Buffer {
    if (file === undefined) return Buffer.alloc(0);
    const bytes = readFrom(file, position);
    position += bytes.length;
    return bytes;
  }
  /** Whether the open file has become the older one, or is gone. */
  function isOld(): boolean {
    try {
      const now = openSync(path, 'r');
      const same = file !== undefined && fstatSync(now).ino === fstatSync(file).ino;
      closeSync(now);
      return !same;
    } catch {
      return false;
    }
  }
  function close(): void {
    if (file !== undefined) closeSync(file);
    file = undefined;
  }
  let first = true;
  return {
    read() {
      const pieces: Buffer[] = [];
      if (first && open(olderLog(path))) {
        pieces.push(rest());
        close();
      }
      first = false;
      // Looked at before the rest is read, which is then all of the older one.
      const old = isOld();
      pieces.push(rest());
      if (old) {
        close();
        if (open(path)) pieces.push(rest());
      }
      return Buffer.concat(pieces);
    },
    close,
  };
}
