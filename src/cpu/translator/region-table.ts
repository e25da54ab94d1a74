/** The regions that there are: their cells in shared memory, and what has to hold before one is entered. */
import type { Block } from '../interpreter/blocks.ts';
import { JUMP_CACHE, NO_GENERATION } from '../interpreter/jump-cache.ts';
import { CELL, CELL_PAGES, CELL_SIZE } from './cell.ts';
import { createCellAllocator } from './cell-allocator.ts';

export interface RegionEntry {
  /** The interpreter's block that it takes the place of. */
  readonly block: Block;
  readonly handler: number;
  /** Table index of what interprets the block. */
  readonly interpreter: number;
  /** Guest-physical pages of its other linear pages, by their distance from the entry's. */
  readonly pages: ReadonlyMap<number, number>;
  /** Size of its WebAssembly module. */
  readonly codeBytes: number;
}

/** What is mapped where a region is to be entered. */
export interface Present {
  /** Guest-physical page at a distance from the entry's, or -1. */
  pageAt(distance: number): number;
  /** Host address of a page, or 0. */
  hostOf(page: number): number;
  readonly key: bigint;
  readonly ipBase: bigint;
}

export interface RegionTable {
  /** Address of `count` cells in a row: the region's own place, then links that lead nowhere yet. 0 where there is no room. */
  allocate(count: number): number;
  /** The region turned out to need only `count` cells. */
  trim(cell: number, count: number): void;
  release(cell: number): void;
  enter(cell: number, entry: RegionEntry): void;
  /** Whether all pages of a region are where it expects them; a positive answer is kept in the cell. */
  valid(cell: number, present: Present): boolean;
  /**
   * The region to go next: the oldest that was not entered since this function or `forgetUse` last passed it by. One that
   * was becomes the youngest, so that the oldest of all comes where every one was entered.
   */
  victim(): RegionEntry | undefined;
  /** From now on only those count as entered that are entered again. */
  forgetUse(): void;
  /** Regions, bytes of their modules and of their cells. */
  readonly size: number;
  readonly codeBytes: number;
  readonly cellBytes: number;
}

export function createRegionTable(buffer: ArrayBufferLike, area: { base: number; size: number }): RegionTable {
  const data = new DataView(buffer);
  /** In order of age. */
  const entries = new Map<number, RegionEntry>();
  const cells = createCellAllocator(area, CELL_SIZE);
  let codeBytes = 0;

  /** Notes where pages are, for `regionValid`. */
  function notePages(cell: number, pages: ReadonlyMap<number, number>, hostOf: (page: number) => number): void {
    const hosts = [...pages].map(([distance, page]) => [distance, hostOf(page)] as const);
    const fits = hosts.length <= CELL_PAGES && hosts.every(([, host]) => host !== 0);
    data.setUint32(cell + CELL.pages, fits ? hosts.length : 0, true);
    if (!fits) return;
    hosts.forEach(([distance, host], i) => {
      data.setInt32(cell + CELL.firstPage + 8 * i, distance, true);
      data.setUint32(cell + CELL.firstPage + 8 * i + 4, host, true);
    });
  }

  return {
    get size() {
      return entries.size;
    },
    get codeBytes() {
      return codeBytes;
    },
    get cellBytes() {
      return cells.used;
    },
    allocate(count) {
      const cell = cells.allocate(count);
      if (cell === 0) return 0;
      for (let at = cell; at < cell + count * CELL_SIZE; at += CELL_SIZE)
        data.setBigInt64(at + JUMP_CACHE.key, NO_GENERATION, true);
      return cell;
    },
    trim: cells.trim,
    release(cell) {
      codeBytes -= entries.get(cell)?.codeBytes ?? 0;
      entries.delete(cell);
      cells.release(cell);
    },
    enter(cell, entry) {
      data.setBigInt64(cell + CELL.key, NO_GENERATION, true);
      data.setUint32(cell + CELL.used, 1, true);
      data.setUint32(cell + CELL.entries, 0, true);
      data.setUint32(cell + CELL.pages, 0, true);
      data.setUint32(cell + CELL.interpreter, entry.interpreter, true);
      entries.set(cell, entry);
      codeBytes += entry.codeBytes;
    },
    valid(cell, { pageAt, hostOf, key, ipBase }) {
      const entry = entries.get(cell);
      if (entry === undefined) return false;
      for (const [distance, page] of entry.pages) if (pageAt(distance) !== page) return false;
      // The look at a page may have set an accessed bit in code of the region, which is gone then.
      if (entries.get(cell) !== entry) return false;
      notePages(cell, entry.pages, hostOf);
      data.setBigUint64(cell + CELL.key, key, true);
      data.setBigUint64(cell + CELL.ipBase, ipBase, true);
      return true;
    },
    victim() {
      for (const [cell, entry] of entries) {
        if (data.getUint32(cell + CELL.used, true) === 0) return entry;
        data.setUint32(cell + CELL.used, 0, true);
        entries.delete(cell);
        entries.set(cell, entry);
      }
      return undefined;
    },
    forgetUse() {
      for (const cell of entries.keys()) data.setUint32(cell + CELL.used, 0, true);
    },
  };
}
