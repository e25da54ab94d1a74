/** Bytes that lie in several pieces of memory, one after the other. */

/** The pieces may be the memory of a running guest. */
export type Bytes = readonly Uint8Array[];

export function byteLength(bytes: Bytes): number {
  return bytes.reduce((sum, piece) => sum + piece.length, 0);
}

/** `[offset, offset + length)` of the concatenated pieces. */
export function slice(bytes: Bytes, offset: number, length: number): Uint8Array[] {
  const result: Uint8Array[] = [];
  let skip = offset;
  let left = length;
  for (const piece of bytes) {
    if (left === 0) break;
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    const take = Math.min(left, piece.length - skip);
    result.push(piece.subarray(skip, skip + take));
    left -= take;
    skip = 0;
  }
  return result;
}

/** Copies `from` into the pieces from `offset` on. */
export function fill(into: Bytes, offset: number, from: Uint8Array): void {
  let at = 0;
  for (const piece of slice(into, offset, from.length)) {
    piece.set(from.subarray(at, at + piece.length));
    at += piece.length;
  }
}

/** A copy of `length` bytes from `offset` on, or of as many as there are. */
export function copyOut(from: Bytes, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const pieces = slice(from, offset, length);
  const result = new Uint8Array(byteLength(pieces));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}
