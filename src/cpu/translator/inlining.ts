/**
 * Small callees become part of the region that calls them: a call of guest code takes all state to memory and back, and
 * touches a link, a cell and a function more. Each such call gets a copy of the callee, so that its return leads to one
 * place; the copy is told from the callee itself, and from other copies, by its _place_.
 */
import type { RegionInstruction } from './region.ts';

/** Places are offsets; those of copies lie this far apart. */
const COPY = 2 ** 36;

/** Most instructions of a callee that is copied, and how many callees may be inside each other. */
const CALLEE_INSTRUCTIONS = 24;
const CALLEE_DEPTH = 2;

const copyAt = (place: number): number => Math.round(place / COPY);
/** What is to be added to the offsets of a block's copy. */
export const shiftAt = (place: number): number => (Number.isFinite(place) ? copyAt(place) * COPY : 0);
export const offsetAt = (place: number): number => place - shiftAt(place);

/** What one block of a callee is found to be. */
export interface CalleeBlock {
  readonly instructions: readonly RegionInstruction[];
  readonly ending: string;
  readonly successors: readonly number[];
}

export interface Copies {
  /** Place of the copy of a callee for the call that ends at `end`; `undefined` where there is none yet. */
  known(end: number): number | undefined;
  /**
   * The same, made if the callee is small enough. `room`: instructions that may be added; `fits`: whether code at some
   * offsets may be part of the region.
   */
  make(end: number, callee: number, room: number, fits: (offsets: readonly number[]) => boolean): number | undefined;
  /** Where the copy that a block belongs to returns to. */
  returnOf(place: number): number | undefined;
}

/** `entry`: offset where the region begins; `block`: a callee's block at an offset, as far as it is known. */
export function createCopies(entry: number, block: (offset: number) => CalleeBlock | undefined): Copies {
  const copies: { readonly entry: number; readonly end: number; readonly depth: number; readonly parent: number }[] = [
    { entry, end: Number.NaN, depth: 0, parent: 0 },
  ];
  const byEnd = new Map<number, number>();

  function isInside(copy: number, callee: number): boolean {
    for (let at = copy; ; at = copies[at].parent) {
      if (copies[at].entry === callee) return true;
      if (at === 0) return false;
    }
  }

  /**
   * Offsets of a callee's blocks, if it is small, all of it is known, and it returns: by itself, or by way of what it jumps
   * to, as a stub of a shared library does.
   */
  function measure(callee: number, room: number): number[] | undefined {
    const seen = new Set<number>();
    const waiting = [callee];
    let count = 0;
    let returns = false;
    for (let offset = waiting.pop(); offset !== undefined; offset = waiting.pop()) {
      if (seen.has(offset)) continue;
      seen.add(offset);
      const found = block(offset);
      if (found === undefined) continue;
      count += found.instructions.length;
      if (count > Math.min(room, CALLEE_INSTRUCTIONS)) return undefined;
      if (found.ending === 'dynamic') returns = true;
      waiting.push(...found.successors);
    }
    return returns ? [...seen] : undefined;
  }

  return {
    known: (end) => byEnd.get(end),
    make(end, callee, room, fits) {
      const known = byEnd.get(end);
      if (known !== undefined) return known;
      const parent = copyAt(end);
      if (copies[parent].depth === CALLEE_DEPTH || isInside(parent, callee)) return undefined;
      const offsets = measure(callee, room);
      if (offsets === undefined || !fits(offsets)) return undefined;
      const place = callee + copies.length * COPY;
      copies.push({ entry: callee, end, depth: copies[parent].depth + 1, parent });
      byEnd.set(end, place);
      return place;
    },
    returnOf: (place) => (copyAt(place) === 0 ? undefined : copies[copyAt(place)].end),
  };
}

/** Whether a run of instructions ends in a near return. */
export const isReturn = (instructions: readonly RegionInstruction[]): boolean =>
  instructions.at(-1)?.instruction.encoding.definition.name === 'ret';
