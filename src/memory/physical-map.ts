/**
 * The guest-physical map: for each 4 KiB page of guest-physical memory, what is behind it. One 32-bit entry a page: the
 * frame's address in the upper 20 bits, its state and flags below.
 */
import type { Arena } from './arena.ts';
import type { FramePool } from './frame-pool.ts';
import type { GuestMemory, Span } from './guest-memory.ts';
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
  /** Tells that the vCPU `holder` (0 to 7) has code decoded from a page: writes to it must be seen from now on. */
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
  /** Write grants for the frame at a host address no longer hold; where the page moved away from it, no grant does. */
  revoked(host: number, moved: boolean): void;
}

/** A map of `size` bytes of RAM from address 0, all zero pages. */
export function createPhysicalMap(arena: Arena, pool: FramePool, size: number, events: MapEvents): PhysicalMap {
  const pages = size / PAGE_SIZE;
  const base = arena.allocate(pages * 4, PAGE_SIZE);
  const entries = new Uint32Array(arena.buffer, base, pages);
  /** A bit for each vCPU that has code of a page. */
  const holders = new Uint8Array(arena.buffer, arena.allocate(pages), pages);
  const bytes = new Uint8Array(arena.buffer);
  const zeroEntry = (pool.zeroFrame * PAGE_SIZE + PAGE_STATE.zero) >>> 0;
  entries.fill(zeroEntry);

  const stateOf = (page: number) => (entries[page] as number) & STATE_MASK;
  const frameOf = (page: number) => (entries[page] as number) >>> 12;

  function ownFrame(page: number): number {
    const before = page > 0 && stateOf(page - 1) === PAGE_STATE.private ? frameOf(page - 1) + 1 : 0;
    const frame = pool.allocate(before);
    if (stateOf(page) === PAGE_STATE.shared) {
      const old = frameOf(page);
      bytes.copyWithin(frame * PAGE_SIZE, old * PAGE_SIZE, (old + 1) * PAGE_SIZE);
      pool.release(old);
    }
    return frame;
  }

  const map: PhysicalMap = {
    size,
    base,
    pages,
    entry: (page) => (page < pages ? (entries[page] as number) : 0),
    holdCode(page, holder) {
      holders[page] |= 1 << holder;
      if (((entries[page] as number) & PAGE_FLAG.code) !== 0) return;
      entries[page] = (entries[page] as number) | PAGE_FLAG.code;
      events.revoked(frameOf(page) * PAGE_SIZE, false);
    },
    releaseCode(page, holder) {
      holders[page] &= ~(1 << holder);
      if (holders[page] === 0) entries[page] = (entries[page] as number) & ~PAGE_FLAG.code;
    },
    writeCode(page, from, to) {
      if (((entries[page] as number) & PAGE_FLAG.code) === 0) return;
      const held = holders[page] as number;
      for (let holder = 0; held >>> holder !== 0; holder++) {
        if (((held >>> holder) & 1) !== 0) events.codeWritten(holder, page, from, to);
      }
    },
    makeWritable(page) {
      if (page >= pages || stateOf(page) === PAGE_STATE.device) return 0;
      if (stateOf(page) !== PAGE_STATE.private) {
        const before = entries[page] as number;
        entries[page] = (ownFrame(page) * PAGE_SIZE + PAGE_STATE.private + (before & PAGE_FLAG.code)) >>> 0;
        if ((before & PAGE_FLAG.seen) !== 0) events.revoked((before & ~(PAGE_SIZE - 1)) >>> 0, true);
      }
      entries[page] = (entries[page] as number) | PAGE_FLAG.dirty;
      return frameOf(page) * PAGE_SIZE;
    },
    readable(page) {
      return page < pages && stateOf(page) >= PAGE_STATE.zero ? frameOf(page) * PAGE_SIZE : 0;
    },
    resident() {
      let count = 0;
      for (let page = 0; page < pages; page++) if (stateOf(page) === PAGE_STATE.private) count++;
      return count;
    },
    spans(address, length, access) {
      if (address < 0 || !Number.isSafeInteger(address) || address + length > size) return undefined;
      const spans: Span[] = [];
      for (let at = address; at < address + length; ) {
        const page = Math.floor(at / PAGE_SIZE);
        const offset = at % PAGE_SIZE;
        const take = Math.min(PAGE_SIZE - offset, address + length - at);
        const host = access === 'read' ? map.readable(page) : map.makeWritable(page);
        if (host === 0) return undefined;
        if (access === 'write') map.writeCode(page, offset, offset + take);
        spans.push(bytes.subarray(host + offset, host + offset + take));
        at += take;
      }
      return spans;
    },
  };
  return map;
}
