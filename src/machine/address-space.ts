/**
 * Who answers which addresses. Regions of the board are fixed and do not overlap. Regions that a guest moves about (PCI
 * BARs) may come to lie over others: the fixed one wins, then the one made first, whatever the order of the moves, so
 * that a restored machine decodes as the saved one did.
 */
import { VirtsError } from '../base/errors.ts';
import type { Region } from '../devices/device.ts';

/** Addresses `[start, end)` that one region answers. The region itself begins at `base`. */
export interface Segment {
  readonly start: number;
  readonly end: number;
  readonly base: number;
  readonly region: Region;
}

/** Where a movable region is now; `undefined`: nowhere. */
export type Whereabouts = () => number | undefined;

/** `moves[0]` changes whenever a movable region may have moved, in whatever thread. Shared by the threads of a machine. */
export type Moves = Uint32Array;

export interface AttachOptions {
  /** Lets the region hide part of one fixed region that contains it. */
  readonly shadow?: boolean;
}

export interface AddressSpace {
  /** Throws VirtsError 'internal' if the place is not free, or for a shadow not inside exactly one region. */
  attach(base: number, region: Region, options?: AttachOptions): void;
  /** A region whose place the guest chooses. `where` is asked again after each change of the `Moves`. */
  movable(region: Region, where: Whereabouts): void;
  /** What answers at `address`. */
  find(address: number): Segment | undefined;
  /** Whether nothing answers anywhere in `[address, address + size)`. */
  isEmpty(address: number, size: number): boolean;
  /** All segments, by address. Replaced by another array when the map changes. */
  segments(): readonly Segment[];
}

/** Which of two overlapping mappings wins: the higher. Movable ones have negative ranks. */
const FIXED = 1;
const SHADOW = 2;

interface Mapping {
  readonly region: Region;
  readonly rank: number;
  readonly base: number;
}

interface Movable {
  readonly region: Region;
  readonly where: Whereabouts;
}

const endOf = ({ base, region }: Mapping) => base + region.size;
const overlap = (a: Mapping, b: Mapping) => a.base < endOf(b) && b.base < endOf(a);

/** Cuts overlapping mappings into segments of the winners. */
function flatten(mappings: readonly Mapping[]): Segment[] {
  const cuts = [...new Set(mappings.flatMap((mapping) => [mapping.base, endOf(mapping)]))].sort((a, b) => a - b);
  const segments: Segment[] = [];
  for (let i = 0; i + 1 < cuts.length; i++) {
    const [start, end] = [cuts[i], cuts[i + 1]];
    let winner: Mapping | undefined;
    for (const mapping of mappings) {
      if (mapping.base <= start && endOf(mapping) >= end && mapping.rank > (winner?.rank ?? Number.NEGATIVE_INFINITY)) {
        winner = mapping;
      }
    }
    if (winner) segments.push({ start, end, base: winner.base, region: winner.region });
  }
  return segments;
}

/** Index of the first segment that ends after `address`. */
function search(segments: readonly Segment[], address: number): number {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (segments[middle].end > address) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** An address space with nothing in it. Regions are attached while a board is made, by each of its threads alike. */
export function createAddressSpace(moves: Moves): AddressSpace {
  const fixed: Mapping[] = [];
  const movables: Movable[] = [];
  let segments: readonly Segment[] = [];
  let last: Segment | undefined;
  /** The state of `moves` that the segments show; no word is -1. */
  let shown = -1;

  function rebuild(): void {
    shown = moves[0];
    const moved = movables.flatMap(({ region, where }, i): Mapping[] => {
      const base = where();
      return base === undefined ? [] : [{ base, region, rank: -1 - i }];
    });
    segments = flatten([...fixed, ...moved]);
    last = undefined;
  }

  function checkPlace(mapping: Mapping): void {
    const others = fixed.filter((other) => overlap(mapping, other));
    const inside = others.length === 1 && others[0].base <= mapping.base && endOf(others[0]) >= endOf(mapping);
    const free = mapping.rank === SHADOW ? inside && others[0].rank === FIXED : others.length === 0;
    if (free && mapping.base >= 0) return;
    const place = `0x${mapping.base.toString(16)}–0x${(endOf(mapping) - 1).toString(16)}`;
    throw new VirtsError('internal', `The board's map has no room for a region at ${place}.`, { base: mapping.base });
  }

  return {
    attach(base, region, { shadow = false } = {}) {
      const mapping: Mapping = { base, region, rank: shadow ? SHADOW : FIXED };
      checkPlace(mapping);
      fixed.push(mapping);
      shown = -1;
    },
    movable(region, where) {
      movables.push({ region, where });
      shown = -1;
    },
    find(address) {
      if (moves[0] !== shown) rebuild();
      if (last !== undefined && address >= last.start && address < last.end) return last;
      const segment = segments[search(segments, address)];
      if (segment === undefined || address < segment.start) return undefined;
      last = segment;
      return segment;
    },
    isEmpty(address, size) {
      if (moves[0] !== shown) rebuild();
      const segment = segments[search(segments, address)];
      return segment === undefined || segment.start >= address + size;
    },
    segments() {
      if (moves[0] !== shown) rebuild();
      return segments;
    },
  };
}
