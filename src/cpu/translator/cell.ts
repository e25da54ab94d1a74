/**
 * What regions keep in shared memory: a place of their own, then one cell for each of their links, laid out as an entry of
 * the jump cache.
 */
import { JUMP_CACHE } from '../interpreter/jump-cache.ts';

/** Bytes of a cell. */
export const CELL_SIZE = JUMP_CACHE.entrySize;
/** Cells that a region's own place takes. */
export const OWN_CELLS = 2;

/** Most cells that a region with so many blocks takes: two links for each. */
export const cellsFor = (blocks: number): number => OWN_CELLS + 2 * blocks;

/** Offsets in a region's own place. */
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
  /** i32: table index of what interprets the entry instead. */
  interpreter: 28,
  /** For each: i32 distance from the entry's page, i32 host address. */
  firstPage: 32,
} as const;

/** Pages that fit there. */
export const CELL_PAGES = (OWN_CELLS * CELL_SIZE - CELL.firstPage) >> 3;
