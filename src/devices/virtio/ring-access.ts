/** Small accesses to guest memory, such as to rings, and the fence between the two sides of a ring. */
import type { GuestMemory } from '../../memory/guest-memory.ts';

/** Views of all that backs a memory, made once. */
interface Views {
  readonly bytes: Uint8Array;
  readonly halves: Uint16Array;
  readonly view: DataView;
}

const known = new WeakMap<ArrayBufferLike, Views>();

function viewsOf({ buffer }: GuestMemory): Views {
  let views = known.get(buffer);
  if (views === undefined) {
    views = { bytes: new Uint8Array(buffer), halves: new Uint16Array(buffer), view: new DataView(buffer) };
    known.set(buffer, views);
  }
  return views;
}

/** Bytes to be read at once: where they lie in one piece, live, else a copy; `undefined` where there is no RAM. */
export function openBytes(
  memory: GuestMemory,
  address: number,
  length: number,
): { readonly view: DataView; readonly at: number } | undefined {
  const at = memory.place(address, length, 'read');
  if (at >= 0) return { view: viewsOf(memory).view, at };
  const copy = readBytes(memory, address, length);
  return copy && { view: new DataView(copy.buffer), at: 0 };
}

/** A copy of bytes; `undefined` where there is no RAM. Addresses come from the guest: above 2^53 there is none. */
export function readBytes(memory: GuestMemory, address: number, length: number): Uint8Array | undefined {
  const place = memory.place(address, length, 'read');
  if (place >= 0) return viewsOf(memory).bytes.slice(place, place + length);
  const spans = Number.isSafeInteger(address) ? memory.spans(address, length, 'read') : undefined;
  if (spans === undefined) return undefined;
  const result = new Uint8Array(length);
  let at = 0;
  for (const span of spans) {
    result.set(span, at);
    at += span.length;
  }
  return result;
}

/** Writes bytes; `false`, with nothing written, where there is no RAM. */
export function writeBytes(memory: GuestMemory, address: number, bytes: Uint8Array): boolean {
  const place = memory.place(address, bytes.length, 'write');
  if (place >= 0) {
    viewsOf(memory).bytes.set(bytes, place);
    return true;
  }
  const spans = Number.isSafeInteger(address) ? memory.spans(address, bytes.length, 'write') : undefined;
  let at = 0;
  for (const span of spans ?? []) {
    span.set(bytes.subarray(at, at + span.length));
    at += span.length;
  }
  return spans !== undefined;
}

/** Reads a 16-bit value at an even address, never torn; `undefined` where there is no RAM. */
export function readU16(memory: GuestMemory, address: number): number | undefined {
  const place = memory.place(address, 2, 'read');
  return place < 0 ? undefined : viewsOf(memory).halves[place >> 1];
}

/** Writes a 16-bit value at an even address, never torn; `false` where there is no RAM. */
export function writeU16(memory: GuestMemory, address: number, value: number): boolean {
  const place = memory.place(address, 2, 'write');
  if (place >= 0) viewsOf(memory).halves[place >> 1] = value;
  return place >= 0;
}

const fenceWord = new Int32Array(new ArrayBuffer(4));

/**
 * Orders this side's earlier stores before its later loads. Driver and device each write an index and then read the
 * other's wish to be told; without the fence both can miss the other (virtio 1.2 2.7.10, 2.7.13.4.1).
 */
export function fence(): void {
  Atomics.store(fenceWord, 0, 0);
}
