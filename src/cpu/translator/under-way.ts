/** Regions that are being compiled: what was reserved for them, and which blocks will be part of them. */
import type { Block } from '../interpreter/blocks.ts';

export interface Requested {
  /** The block that the region is to take the place of, and the instruction pointer at which it was asked for. */
  readonly block: Block;
  readonly ip: bigint;
  /** Blocks that it is made of, `block` included. */
  readonly sources: ReadonlySet<Block>;
  readonly instructions: number;
  /** As in `RegionEntry`. */
  readonly pages: ReadonlyMap<number, number>;
  readonly cell: number;
  /** Place in the function table, and the handlers' generation in which it was reserved. */
  readonly index: number;
  readonly generation: number;
}

export interface UnderWay {
  readonly size: number;
  /** Whether there are as many as there may be. */
  readonly full: boolean;
  /** Returns the name of the request. */
  add(requested: Requested): number;
  remove(id: number): Requested;
  /** Whether a block is part of any of them. */
  includes(block: Block): boolean;
  /** Instructions of the region that is to begin at a block, or 0. */
  instructionsAt(block: Block): number;
}

/**
 * What is asked for is not compiled before all that was asked for earlier: with more under way, code that has become hot
 * waits for code that was hot. What finds no room asks again, the sooner the more often it runs.
 */
export const MOST_UNDER_WAY = 32;

export function createUnderWay(): UnderWay {
  const requests = new Map<number, Requested>();
  /** Of how many requests a block is part. */
  const parts = new Map<Block, number>();
  let last = 0;
  return {
    get size() {
      return requests.size;
    },
    get full() {
      return requests.size >= MOST_UNDER_WAY;
    },
    add(requested) {
      requests.set(++last, requested);
      for (const source of requested.sources) parts.set(source, (parts.get(source) ?? 0) + 1);
      return last;
    },
    remove(id) {
      const requested = requests.get(id);
      if (requested === undefined) throw new RangeError(`no region ${id} was asked for`);
      requests.delete(id);
      for (const source of requested.sources) {
        const rest = (parts.get(source) as number) - 1;
        if (rest === 0) parts.delete(source);
        else parts.set(source, rest);
      }
      return requested;
    },
    includes: (block) => parts.has(block),
    instructionsAt(block) {
      if (!parts.has(block)) return 0;
      for (const { block: entry, instructions } of requests.values()) if (entry === block) return instructions;
      return 0;
    },
  };
}
