/**
 * The guest-physical map: for each 4 KiB page of guest-physical memory, what is behind it. One 32-bit entry a page: the
 * frame's address in the upper 20 bits, its state and flags below.
 */
import { createLock, locked } from '../base/lock.ts';
import type { Arena } from './arena.ts';
import type { FramePool } from './frame-pool.ts';
import type { GuestMemory, HeldSpan, Span } from './guest-memory.ts';
import { PAGE_SIZE } from './layout.ts';

/** States of a page, in the low three bits of its entry. From `zero` up the frame can be read. */
export const PAGE_STATE = {
  /** No RAM: a device or nothing. */
  device: 0,
  /** RAM whose contents have yet to be fetched. */
  absent: 1,
  /** RAM that was never written: shows the zero frame. */
  zero: 2,
  /** A frame that others see too; copied before the first write. */
  shared: 3,
  /** A frame of this map alone. */
  private: 4,
} as const;

export const STATE_MASK = 7;

export const PAGE_FLAG = {
  /** Code was translated from it: writes must be seen. */
  code: 8,
  /** Written since dirty tracking last began. Writes to a page without it must be seen. */
  dirty: 16,
  /** Read grants were handed out while the frame was not its own. */
  seen: 32,
} as const;

/** Bits that must hold exactly for a page to be written directly. */
export const WRITABLE_MASK = STATE_MASK | PAGE_FLAG.code | PAGE_FLAG.dirty;
export const WRITABLE = PAGE_STATE.private | PAGE_FLAG.dirty;

export interface PhysicalMap extends GuestMemory {
  /** Address of the first entry in shared memory. */
  readonly base: number;
  /** Entries: pages from guest-physical address 0 up that may be RAM. */
  readonly pages: number;
  entry(page: number): number;
  /**
   * Tells that the vCPU `holder` (0 to 7) is about to decode code from a page: writes to it that come after are seen, and
   * those before have reached it.
   */
  holdCode(page: number, holder: number): void;
  /** Tells that it has none any more. */
  releaseCode(page: number, holder: number): void;
  /** Bytes of a page are about to change: tells those that hold code of it. */
  writeCode(page: number, from: number, to: number): void;
  /** Makes a RAM page private, dirty and free of code; returns the host address of its frame, or 0 if it is no RAM. */
  makeWritable(page: number): number;
  /** Host address of a RAM page for reading, or 0 if it is no RAM. */
  readable(page: number): number;
  /** Pages that are RAM and have a frame of their own. */
  resident(): number;
}

export interface MapEvents {
  /** Bytes of a page from which a vCPU has decoded code are about to change. */
  codeWritten(holder: number, page: number, from: number, to: number): void;
  /**
   * Write grants for the frame at a host address no longer hold; where the page moved away from it, no grant does. Called
   * inside `exclusively`.
   */
  revoked(host: number, moved: boolean): void;
  /** Pages moved away from many frames: no grant for any frame holds. Called inside `exclusively`; absent where no page is discarded. */
  revokedAll?(): void;
  /**
   * Runs `work` while no other thread executes guest code, each having finished the accesses that it began. Absent where
   * one thread does all.
   */
  exclusively?(work: () => void): void;
}

/**
 * A map of `size` bytes of RAM from address 0, all zero pages.
 *
 * Entries change while other threads read them. What gives rights is one compare-and-exchange; what takes rights away is
 * done exclusively, for a thread may hold them in its TLB.
 */
export function createPhysicalMap(arena: Arena, pool: FramePool, size: number, events: MapEvents): PhysicalMap {
  const { exclusively = (work: () => void) => work() } = events;
  const pages = size / PAGE_SIZE;
  const base = arena.allocate(pages * 4, PAGE_SIZE);
  const entries = new Uint32Array(arena.buffer, base, pages);
  /** A bit for each vCPU that has code of a page; changed, with the entry's flag, under the lock. */
  const holders = new Uint8Array(arena.buffer, arena.allocate(pages), pages);
  const holding = createLock(new Int32Array(arena.buffer, arena.allocate(4), 1), arena.thread);
  const bytes = new Uint8Array(arena.buffer);
  const zeroEntry = (pool.zeroFrame * PAGE_SIZE + PAGE_STATE.zero) >>> 0;
  if (arena.thread === 0) entries.fill(zeroEntry);

  const stateOf = (entry: number) => entry & STATE_MASK;
  const hostOf = (entry: number) => (entry & ~(PAGE_SIZE - 1)) >>> 0;

  /** The entry of a page with a frame of its own, a copy of the one before. */
  function ownFrame(page: number, before: number): number {
    const neighbour = page > 0 ? entries[page - 1] : 0;
    const frame = pool.allocate(stateOf(neighbour) === PAGE_STATE.private ? (neighbour >>> 12) + 1 : 0);
    if (stateOf(before) === PAGE_STATE.shared) {
      bytes.copyWithin(frame * PAGE_SIZE, hostOf(before), hostOf(before) + PAGE_SIZE);
    }
    return (frame * PAGE_SIZE + PAGE_STATE.private + PAGE_FLAG.dirty + (before & PAGE_FLAG.code)) >>> 0;
  }

  /** Gives a page a frame of its own, unless it has changed since `before`. */
  function replace(page: number, before: number): void {
    const own = ownFrame(page, before);
    const replaced = Atomics.compareExchange(entries, page, before, own) === before;
    if (!replaced) pool.release(own >>> 12);
    else if (stateOf(before) === PAGE_STATE.shared) pool.release(before >>> 12);
    if (replaced && (before & PAGE_FLAG.seen) !== 0) events.revoked(hostOf(before), true);
  }

  /** Host address of a page of RAM for an access, or 0. */
  const frameFor = (page: number, access: 'read' | 'write') =>
    access === 'read' ? map.readable(page) : map.makeWritable(page);

  /** Calls `visit` for each piece of a range that lies within one page, until it says no. Whether all of it was visited. */
  function everyPage(address: number, length: number, visit: (at: number, take: number) => boolean): boolean {
    if (address < 0 || !Number.isSafeInteger(address) || address + length > size) return false;
    for (let at = address; at < address + length; ) {
      const take = Math.min(PAGE_SIZE - (at % PAGE_SIZE), address + length - at);
      if (!visit(at, take)) return false;
      at += take;
    }
    return true;
  }

  /** The zero frame is nobody's and never freed. */
  const isCounted = (frame: number) => frame !== pool.zeroFrame;

  /** Takes the page that `at` is in for a transfer, into a span that goes on where the last one ends if it can. */
  function holdPage(
    spans: { host: number; length: number; page: number }[],
    at: number,
    length: number,
    access: 'read' | 'write',
  ): boolean {
    const page = Math.floor(at / PAGE_SIZE);
    const frame = frameFor(page, access);
    if (frame === 0) return false;
    if (isCounted(frame / PAGE_SIZE)) pool.share(frame / PAGE_SIZE);
    const host = frame + (at % PAGE_SIZE);
    const last = spans.at(-1);
    if (last !== undefined && last.host + last.length === host) last.length += length;
    else spans.push({ host, length, page });
    return true;
  }

  /** Calls `visit` for each piece of a span that lies within one page. */
  function eachPage(span: HeldSpan, visit: (page: number, host: number, length: number) => void): void {
    let { host, page } = span;
    for (const end = host + span.length; host < end; page++) {
      const take = Math.min(PAGE_SIZE - (host % PAGE_SIZE), end - host);
      visit(page, host, take);
      host += take;
    }
  }

  const map: PhysicalMap = {
    size,
    buffer: arena.buffer,
    base,
    pages,
    entry: (page) => (page < pages ? entries[page] : 0),
    holdCode(page, holder) {
      const fresh = locked(holding, () => {
        holders[page] |= 1 << holder;
        return (Atomics.or(entries, page, PAGE_FLAG.code) & PAGE_FLAG.code) === 0;
      });
      // Where others hold code of it nobody has a grant, but one may be about to store who did not see this holder yet.
      exclusively(() => {
        if (fresh) events.revoked(hostOf(entries[page]), false);
      });
    },
    releaseCode(page, holder) {
      locked(holding, () => {
        holders[page] &= ~(1 << holder);
        if (holders[page] === 0) Atomics.and(entries, page, ~PAGE_FLAG.code);
      });
    },
    writeCode(page, from, to) {
      if ((entries[page] & PAGE_FLAG.code) === 0) return;
      const held = holders[page];
      for (let holder = 0; held >>> holder !== 0; holder++) {
        if (((held >>> holder) & 1) !== 0) events.codeWritten(holder, page, from, to);
      }
    },
    makeWritable(page) {
      if (page >= pages) return 0;
      for (;;) {
        const entry = Atomics.load(entries, page);
        if (stateOf(entry) === PAGE_STATE.device) return 0;
        if (stateOf(entry) === PAGE_STATE.private) {
          if ((entry & PAGE_FLAG.dirty) === 0) Atomics.or(entries, page, PAGE_FLAG.dirty);
          return hostOf(entry);
        }
        if (stateOf(entry) === PAGE_STATE.zero && (entry & PAGE_FLAG.seen) === 0) replace(page, entry);
        else exclusively(() => replace(page, entry));
      }
    },
    readable(page) {
      const entry = page < pages ? entries[page] : 0;
      return stateOf(entry) >= PAGE_STATE.zero ? hostOf(entry) : 0;
    },
    discard(first, count) {
      const frames: number[] = [];
      const end = Math.min(pages, first + count);
      exclusively(() => {
        for (let page = first; page < end; page++) {
          const entry = entries[page];
          if (stateOf(entry) !== PAGE_STATE.private && stateOf(entry) !== PAGE_STATE.shared) continue;
          map.writeCode(page, 0, PAGE_SIZE);
          Atomics.store(entries, page, (zeroEntry | PAGE_FLAG.dirty | (entries[page] & PAGE_FLAG.code)) >>> 0);
          frames.push(entry >>> 12);
        }
        if (frames.length > 0) events.revokedAll?.();
      });
      return pool.giveBack(frames);
    },
    resident() {
      let count = 0;
      for (const entry of entries) if (stateOf(entry) === PAGE_STATE.private) count++;
      return count;
    },
    spans(address, length, access) {
      // To make a page writable may wait for other threads, which may decode code of the others meanwhile: so all pages are
      // made writable before anybody is told what changes.
      const isRam = (at: number) => frameFor(Math.floor(at / PAGE_SIZE), access) !== 0;
      if (!everyPage(address, length, isRam)) return undefined;
      const spans: Span[] = [];
      everyPage(address, length, (at, take) => {
        const page = Math.floor(at / PAGE_SIZE);
        const offset = at % PAGE_SIZE;
        const host = frameFor(page, access);
        if (access === 'write') map.writeCode(page, offset, offset + take);
        spans.push(bytes.subarray(host + offset, host + offset + take));
        return true;
      });
      return spans;
    },
    place(address, length, access) {
      const offset = address % PAGE_SIZE;
      if (!(address >= 0 && address < size) || offset + length > PAGE_SIZE) return -1;
      const page = (address - offset) / PAGE_SIZE;
      const host = frameFor(page, access);
      if (host === 0) return -1;
      if (access === 'write') map.writeCode(page, offset, offset + length);
      return host + offset;
    },
    hold(address, length, access) {
      const spans: { host: number; length: number; page: number }[] = [];
      if (!everyPage(address, length, (at, take) => holdPage(spans, at, take, access))) {
        for (const span of spans) map.release(span, 'read');
        return undefined;
      }
      if (access === 'write') for (const span of spans) eachPage(span, written);
      return spans;
    },
    release(span, access) {
      eachPage(span, (page, host, length) => {
        const frame = Math.floor(host / PAGE_SIZE);
        if (access === 'write' && hostOf(entries[page]) === frame * PAGE_SIZE) written(page, host, length);
        if (isCounted(frame)) pool.release(frame);
      });
    },
  };

  /** The bytes at `host`, in the frame of a page, were changed or are about to be. */
  function written(page: number, host: number, length: number): void {
    const offset = host % PAGE_SIZE;
    Atomics.or(entries, page, PAGE_FLAG.dirty);
    map.writeCode(page, offset, offset + length);
  }
  return map;
}
