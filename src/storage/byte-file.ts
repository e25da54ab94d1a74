/** A file of bytes as disk formats see it: on the host, in memory, or behind anything that can do the same. */

import { type Bytes, byteLength } from '../base/pieces.ts';

export { type Bytes, byteLength, fill, slice } from '../base/pieces.ts';

export interface ByteFile {
  /** How messages call it. */
  readonly name: string;
  readonly readOnly: boolean;
  /** Bytes. Grows as it is written to. */
  readonly size: number;
  /** Bytes past the end read as zeros. Rejects with VirtsError 'io'. */
  read(position: number, into: Bytes): Promise<void>;
  /** Rejects with VirtsError 'no-space' or 'io'; then any part of the range may have been written. */
  write(position: number, from: Bytes): Promise<void>;
  /** Makes a range inside the file read as zeros; with `unmap` its space is given back if the host can do that. */
  zero(position: number, length: number, unmap: boolean): Promise<void>;
  /** What was written before is on stable storage when this resolves. */
  sync(): Promise<void>;
  /** Makes the file that long. */
  truncate(size: number): Promise<void>;
  /** A sentence for the user on what befell the file; known after `sync`. */
  warning?(): string | undefined;
  close(): Promise<void>;
}

const ZEROS = new Uint8Array(64 * 1024);

/** `length` zero bytes to write from. */
export function zeros(length: number): Uint8Array[] {
  const result: Uint8Array[] = [];
  for (let at = 0; at < length; at += ZEROS.length) result.push(ZEROS.subarray(0, Math.min(ZEROS.length, length - at)));
  return result;
}

/** Most zero bytes written at once. */
const ZERO_STEP = 1024 * 1024;

/** Makes a range zero by writing it. */
export async function writeZeros(file: Pick<ByteFile, 'write'>, position: number, length: number): Promise<void> {
  for (let at = 0; at < length; at += ZERO_STEP) {
    await file.write(position + at, zeros(Math.min(ZERO_STEP, length - at)));
  }
}

/** A file in memory, which takes space only where it was written to. `content` is copied. */
export function memoryFile(name: string, content: Uint8Array = new Uint8Array(), readOnly = false): ByteFile {
  const pages = new Map<number, Uint8Array>();
  let size = 0;

  /** Calls `visit` with each part of a range that lies within one page. */
  function parts(
    position: number,
    bytes: Bytes,
    visit: (page: number, offset: number, piece: Uint8Array) => void,
  ): void {
    let at = position;
    for (const whole of bytes) {
      for (let rest = whole; rest.length > 0; ) {
        const offset = at % ZEROS.length;
        const piece = rest.subarray(0, ZEROS.length - offset);
        visit((at - offset) / ZEROS.length, offset, piece);
        rest = rest.subarray(piece.length);
        at += piece.length;
      }
    }
  }

  const file: ByteFile = {
    name,
    readOnly,
    get size() {
      return size;
    },
    async read(position, into) {
      parts(position, into, (page, offset, piece) => {
        const from = pages.get(page);
        if (from === undefined) piece.fill(0);
        else piece.set(from.subarray(offset, offset + piece.length));
      });
    },
    async write(position, from) {
      size = Math.max(size, position + byteLength(from));
      parts(position, from, (page, offset, piece) => {
        const to = pages.get(page) ?? new Uint8Array(ZEROS.length);
        pages.set(page, to);
        to.set(piece, offset);
      });
    },
    async zero(position, length) {
      const end = Math.min(position + length, size);
      for (let at = position; at < end; ) {
        const offset = at % ZEROS.length;
        const take = Math.min(ZEROS.length - offset, end - at);
        const page = (at - offset) / ZEROS.length;
        if (take === ZEROS.length) pages.delete(page);
        else pages.get(page)?.fill(0, offset, offset + take);
        at += take;
      }
    },
    async sync() {},
    async truncate(length) {
      if (length < size) await file.zero(length, size - length, true);
      size = length;
    },
    async close() {},
  };
  file.write(0, [content]);
  return file;
}
