/**
 * Guest-physical memory as devices and loaders see it: spans of bytes, never one array, because the frames behind
 * neighbouring pages need not be neighbours.
 */
import { PAGE_SIZE } from './layout.ts';

/** A live view of host memory that backs a piece of guest RAM. */
export type Span = Uint8Array;

export interface GuestMemory {
  /** Bytes of RAM, from guest-physical address 0 up. */
  readonly size: number;
  /** What backs it: held spans lie there. */
  readonly buffer: ArrayBufferLike;
  /**
   * The RAM at `[address, address + length)` as spans in order, or `undefined` if any byte of it is not RAM. With
   * `write`, the pages are made private, marked dirty, and code translated from them is dropped: fill them at once and
   * do not keep the views.
   */
  spans(address: number, length: number, access: 'read' | 'write'): Span[] | undefined;
  /**
   * Where in `buffer` the RAM at `[address, address + length)` lies, if it is all in one page; -1 where it is not, or is no RAM. As
   * `spans`, for what is small and done often: it makes no objects.
   */
  place(address: number, length: number, access: 'read' | 'write'): number;
  /**
   * Like `spans`, for a transfer that goes on after the call, in another thread: the frames stay allocated until each span
   * was given back by `release`. Whoever shares pages between machines has to wait for that.
   */
  hold(address: number, length: number, access: 'read' | 'write'): HeldSpan[] | undefined;
  /**
   * What is in `count` pages from `page` on is of no more interest: they read as zeros, and take no memory of the host until they are
   * written to. What is no RAM stays as it is. Returns how many pages gave memory back.
   */
  discard(page: number, count: number): number;
  /** Ends a transfer. What was written counts as written now: the page is dirty, and code decoded from it is dropped. */
  release(span: HeldSpan, access: 'read' | 'write'): void;
}

/** RAM that a transfer is using: neighbouring pages whose frames are neighbours too. */
export interface HeldSpan {
  /** Offset in the buffer of the guest memory. */
  readonly host: number;
  /** Bytes, at least 1. */
  readonly length: number;
  /** The guest-physical page that its first byte is in. */
  readonly page: number;
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
export interface FlatMemory extends GuestMemory {
  readonly bytes: Uint8Array;
  /** Spans that are held now. */
  readonly held: number;
}

export function flatMemory(size: number): FlatMemory {
  const bytes = new Uint8Array(size);
  const inside = (address: number, length: number) => address >= 0 && address + length <= size;
  let held = 0;
  return {
    size,
    buffer: bytes.buffer,
    bytes,
    get held() {
      return held;
    },
    spans: (address, length) => (inside(address, length) ? [bytes.subarray(address, address + length)] : undefined),
    place: (address, length) => (inside(address, length) && (address % PAGE_SIZE) + length <= PAGE_SIZE ? address : -1),
    hold(address, length) {
      if (!inside(address, length)) return undefined;
      held++;
      return [{ host: address, length, page: Math.floor(address / PAGE_SIZE) }];
    },
    discard(page, count) {
      const start = Math.min(bytes.length, page * PAGE_SIZE);
      const end = Math.min(bytes.length, start + count * PAGE_SIZE);
      bytes.fill(0, start, end);
      return Math.floor((end - start) / PAGE_SIZE);
    },
    release() {
      held--;
    },
  };
}
