/** A byte queue in shared memory between one writer and one reader, each in a thread of its own. */

import { createBuffer } from './shared-memory.ts';

/** Bytes of the two counters before the data. */
const HEADER = 8;

export interface Ring {
  /** Bytes that can be written now. */
  room(): number;
  /** Takes what fits; returns how many bytes that were. */
  write(bytes: Uint8Array): number;
  /** Bytes waiting. */
  available(): number;
  /** Up to `limit` bytes, which stay. */
  peek(limit: number): Uint8Array;
  /** Takes `count` bytes that `peek` gave. */
  skip(count: number): void;
  /** Up to `limit` bytes, which are thereby taken. */
  read(limit: number): Uint8Array;
}

/** Memory for a ring of `capacity` bytes, a power of two. */
export function createRingBuffer(capacity: number): ArrayBufferLike {
  return createBuffer(HEADER + capacity);
}

/** A ring over memory from `createRingBuffer`; both sides make one. */
export function openRing(buffer: ArrayBufferLike): Ring {
  const counters = new Uint32Array(buffer, 0, 2);
  const data = new Uint8Array(buffer, HEADER);
  const capacity = data.length;
  // The counters run freely and wrap at 2^32, which the capacity divides.
  const filled = () => (Atomics.load(counters, 0) - Atomics.load(counters, 1)) >>> 0;
  function peek(limit: number): Uint8Array {
    const count = Math.min(limit, filled());
    const at = Atomics.load(counters, 1) % capacity;
    const first = Math.min(count, capacity - at);
    const out = new Uint8Array(count);
    out.set(data.subarray(at, at + first));
    out.set(data.subarray(0, count - first), first);
    return out;
  }
  return {
    room: () => capacity - filled(),
    available: filled,
    write(bytes) {
      const count = Math.min(bytes.length, capacity - filled());
      const at = Atomics.load(counters, 0) % capacity;
      const first = Math.min(count, capacity - at);
      data.set(bytes.subarray(0, first), at);
      data.set(bytes.subarray(first, count), 0);
      Atomics.add(counters, 0, count);
      return count;
    },
    peek,
    skip(count) {
      Atomics.add(counters, 1, count);
    },
    read(limit) {
      const out = peek(limit);
      Atomics.add(counters, 1, out.length);
      return out;
    },
  };
}
