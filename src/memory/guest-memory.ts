/**
 * Guest-physical memory as devices and loaders see it: spans of bytes, never one array, because the frames behind
 * neighbouring pages need not be neighbours.
 */

/** A live view of host memory that backs a piece of guest RAM. */
export type Span = Uint8Array;

export interface GuestMemory {
  /** Bytes of RAM, from guest-physical address 0 up. */
  readonly size: number;
  /**
   * The RAM at `[address, address + length)` as spans in order, or `undefined` if any byte of it is not RAM. With
   * `write`, the pages are made private, marked dirty, and code translated from them is dropped: fill them at once and
   * do not keep the views.
   */
  spans(address: number, length: number, access: 'read' | 'write'): Span[] | undefined;
}

/** Copies guest memory out; `undefined` if any byte is not RAM. */
export function readGuest(memory: GuestMemory, address: number, length: number): Uint8Array | undefined {
  const spans = memory.spans(address, length, 'read');
  if (spans === undefined) return undefined;
  const result = new Uint8Array(length);
  let at = 0;
  for (const span of spans) {
    result.set(span, at);
    at += span.length;
  }
  return result;
}

/** Copies into guest memory; `false`, with nothing written, if any byte is not RAM. */
export function writeGuest(memory: GuestMemory, address: number, bytes: Uint8Array): boolean {
  const spans = memory.spans(address, bytes.length, 'write');
  if (spans === undefined) return false;
  let at = 0;
  for (const span of spans) {
    span.set(bytes.subarray(at, at + span.length));
    at += span.length;
  }
  return true;
}

/** Guest memory over one buffer, for tests. */
export function flatMemory(size: number): GuestMemory & { readonly bytes: Uint8Array } {
  const bytes = new Uint8Array(size);
  return {
    size,
    bytes,
    spans: (address, length) =>
      address >= 0 && address + length <= size ? [bytes.subarray(address, address + length)] : undefined,
  };
}
