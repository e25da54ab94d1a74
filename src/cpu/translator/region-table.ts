/** The regions that there are: their cells in shared memory, and what has to hold before one is entered. */
import type { Block } from '../interpreter/blocks.ts';
import { JUMP_CACHE, NO_GENERATION } from '../interpreter/jump-cache.ts';
import { CELL } from './writer.ts';

export interface RegionEntry {
  /** The interpreter's block that it takes the place of. */
  readonly block: Block;
  readonly handler: number;
  /** Guest-physical pages of its other linear pages, by their distance from the entry's. */
  readonly pages: ReadonlyMap<number, number>;
}

export interface RegionTable {
  /** Address of `count` cells in a row: the region's own, then links that lead nowhere yet. 0 where there is no room. */
  allocate(count: number): number;
  release(cell: number): void;
  enter(cell: number, entry: RegionEntry): void;
  /** Whether all pages of a region are where it expects them; a positive answer is kept in the cell. */
  valid(cell: number, pageAt: (distance: number) => number, key: bigint, ipBase: bigint): boolean;
  /** Regions in order of age that were not entered since they were last asked about. */
  unused(): Iterable<RegionEntry>;
  readonly size: number;
}

export function createRegionTable(buffer: SharedArrayBuffer, area: { base: number; size: number }): RegionTable {
  const data = new DataView(buffer);
  const entries = new Map<number, RegionEntry>();
  /** Runs of cells given back, by the logarithm of their length. */
  const free: number[][] = [];
  const lengths = new Map<number, number>();
  const end = area.base + area.size;
  let next = area.base;

  return {
    get size() {
      return entries.size;
    },
    allocate(count) {
      const length = 32 - Math.clz32(count - 1);
      const bytes = CELL.size << length;
      let cell = free[length]?.pop();
      if (cell === undefined) {
        if (next + bytes > end) return 0;
        cell = next;
        next += bytes;
        lengths.set(cell, length);
      }
      for (let at = cell; at < cell + bytes; at += CELL.size)
        data.setBigInt64(at + JUMP_CACHE.key, NO_GENERATION, true);
      return cell;
    },
    release(cell) {
      entries.delete(cell);
      const length = lengths.get(cell) as number;
      free[length] ??= [];
      free[length].push(cell);
    },
    enter(cell, entry) {
      data.setBigInt64(cell + CELL.key, NO_GENERATION, true);
      data.setUint32(cell + CELL.used, 1, true);
      data.setUint32(cell + CELL.entries, 0, true);
      entries.set(cell, entry);
    },
    valid(cell, pageAt, key, ipBase) {
      const entry = entries.get(cell);
      if (entry === undefined) return false;
      for (const [distance, page] of entry.pages) if (pageAt(distance) !== page) return false;
      data.setBigUint64(cell + CELL.key, key, true);
      data.setBigUint64(cell + CELL.ipBase, ipBase, true);
      return true;
    },
    *unused() {
      for (const [cell, entry] of [...entries]) {
        const used = data.getUint32(cell + CELL.used, true) !== 0;
        data.setUint32(cell + CELL.used, 0, true);
        if (!used) yield entry;
      }
    },
  };
}
