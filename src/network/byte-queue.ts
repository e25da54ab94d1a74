/** A queue of bytes that can be read at any place: what was sent and not yet acknowledged, and what is yet to be sent. */

export interface ByteQueue {
  readonly length: number;
  append(bytes: Uint8Array): void;
  /** Copies `length` bytes from `offset` on; both must lie within the queue. */
  copy(offset: number, length: number, target: Uint8Array, at: number): void;
  /** Takes `count` bytes off the front; an empty queue holds no memory. */
  drop(count: number): void;
}

const SMALLEST = 4096;
const EMPTY = new Uint8Array(0);

/** Grows by doubling; its user sets the bound. */
export function createByteQueue(): ByteQueue {
  let data: Uint8Array = EMPTY;
  let start = 0;
  let length = 0;

  function copy(offset: number, count: number, target: Uint8Array, at: number): void {
    const from = (start + offset) % data.length;
    const first = Math.min(count, data.length - from);
    target.set(data.subarray(from, from + first), at);
    if (first < count) target.set(data.subarray(0, count - first), at + first);
  }

  function grow(needed: number): void {
    let size = Math.max(SMALLEST, data.length);
    while (size < needed) size *= 2;
    const grown = new Uint8Array(size);
    if (length > 0) copy(0, length, grown, 0);
    data = grown;
    start = 0;
  }

  return {
    get length() {
      return length;
    },
    append(bytes) {
      if (bytes.length === 0) return;
      if (length + bytes.length > data.length) grow(length + bytes.length);
      const at = (start + length) % data.length;
      const first = Math.min(bytes.length, data.length - at);
      data.set(bytes.subarray(0, first), at);
      if (first < bytes.length) data.set(bytes.subarray(first), 0);
      length += bytes.length;
    },
    copy,
    drop(count) {
      length -= count;
      start = length === 0 ? 0 : (start + count) % data.length;
      if (length === 0) data = EMPTY;
    },
  };
}
