/**
 * How much translated code there may be, and which goes when there is too much.
 *
 * Limits and the memory that they stand for, measured on Node 26: docs/translator.md.
 */
import type { Block } from '../interpreter/blocks.ts';
import type { RegionTable } from './region-table.ts';

export interface CodeLimits {
  /** Most regions, each of which is a WebAssembly module. */
  readonly regions: number;
  /** Most bytes of their modules; the last one to be made may pass it. */
  readonly codeBytes: number;
  /** Bytes for cells: one for each region, one for each place where it goes to other code. */
  readonly cellBytes: number;
}

export const DEFAULT_CODE_LIMITS: CodeLimits = {
  regions: 8192,
  codeBytes: 32 * 1024 * 1024,
  cellBytes: 16 * 1024 * 1024,
};

/** What is left of every limit by an eviction. Where this is passed, it begins to count what is in use. */
const KEPT = 0.75;

export interface CodeCache {
  /** Makes room for another region and gives it cells: their address, or 0 where they are more than there can be. */
  reserve(cells: number): number;
  /** Regions evicted so far. */
  readonly evicted: number;
}

export function createCodeCache(
  table: RegionTable,
  limits: CodeLimits,
  /** Gives a block back to the interpreter, and its region's cells to the table. */
  restore: (block: Block) => void,
  /** Blocks that lost their regions: what leads to those, and regions that run, must not go on in the old way. */
  gone: (blocks: ReadonlySet<Block>) => void,
): CodeCache {
  let evicted = 0;
  let watched = false;

  /** Whether there is as much as a share of any limit. */
  const reached = (share: number): boolean =>
    table.size >= share * limits.regions ||
    table.codeBytes >= share * limits.codeBytes ||
    table.cellBytes >= share * limits.cellBytes;

  /** Evicts one region at least, and more until there is less than `KEPT`. */
  function shrink(): void {
    const blocks = new Set<Block>();
    do {
      const entry = table.victim();
      if (entry === undefined) break;
      restore(entry.block);
      blocks.add(entry.block);
    } while (reached(KEPT));
    evicted += blocks.size;
    watched = false;
    gone(blocks);
  }

  return {
    get evicted() {
      return evicted;
    },
    reserve(cells) {
      if (reached(1)) shrink();
      else if (!watched && reached(KEPT)) {
        // Nearly full: what is not entered from here on may go first.
        table.forgetUse();
        watched = true;
      }
      for (;;) {
        const cell = table.allocate(cells);
        if (cell !== 0 || table.size === 0) return cell;
        shrink();
      }
    },
  };
}
