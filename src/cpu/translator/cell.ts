/** What regions keep in shared memory: a cell of their own, and one for each of their links, laid out as the jump cache is. */
import { JUMP_CACHE } from '../interpreter/jump-cache.ts';

/** Most cells that a region with so many blocks takes: two links for each. */
export const cellsFor = (blocks: number): number => 1 + 2 * blocks;

/** Places in a region's own cell. */
export const CELL = {
  /** i64: mode and generation for which its other pages were found to be the right ones. */
  key: 0,
  /** i64: and the `ipBase` for which they were. */
  ipBase: 8,
  /** i32: set whenever it is entered. */
  used: 16,
  /** i32: times that it was entered, where that is counted. */
  entries: 20,
  /** i32: other pages whose places are noted, 0 where none is. */
  pages: 24,
  /** For each: i32 distance from the entry's page, i32 host address. */
  firstPage: 28,
  size: JUMP_CACHE.entrySize,
} as const;

/** Pages that fit a cell. */
export const CELL_PAGES = (CELL.size - CELL.firstPage) >> 3;
