/** Hands out shared memory below the frames: state blocks, tables, caches. Nothing is given back before the end. */
import { VirtsError } from '../base/errors.ts';
import { ARENA_SIZE, ARENA_START } from './layout.ts';

/**
 * All threads of a machine ask for the same things in the same order, and so get the same addresses. The first of them
 * finds zeros; what it puts there is what the others find.
 */
export interface Arena {
  readonly buffer: ArrayBufferLike;
  /** Where it ends and frames begin. */
  readonly end: number;
  /** Number of the thread that uses it; 0 is the one that everything is made by. */
  readonly thread: number;
  /** Address of `size` bytes, aligned to `align` (a power of two). */
  allocate(size: number, align?: number): number;
  /** The same for what is used bit by bit, and mostly stays untouched. Such areas lie at the end, downwards: all others are dense. */
  reserve(size: number, align?: number): number;
  /**
   * Tells that little of a range, from a page's beginning on, will ever be touched. Where the host backs the memory with large pages,
   * it takes small ones there; what lies next to the range must not share a large page with it.
   */
  sparse(address: number, length: number): void;
}

export interface ArenaOptions {
  /** Address of its first byte; `ARENA_START` if absent. */
  readonly start?: number;
  /** Address of its end; `ARENA_SIZE` if absent. */
  readonly end?: number;
  /** 0 if absent. */
  readonly thread?: number;
  /** Is told of ranges as `Arena.sparse` is, by the first thread. */
  readonly sparse?: (address: number, length: number) => void;
}

/** Throws VirtsError 'no-space' when the arena is used up. */
export function createArena(buffer: ArrayBufferLike, options: ArenaOptions = {}): Arena {
  const { start = ARENA_START, end = ARENA_SIZE, thread = 0 } = options;
  /** What is free. */
  let low = start;
  let high = end;

  function check(fits: boolean, size: number): void {
    if (!fits) throw new VirtsError('no-space', 'the shared memory for tables is used up', { size });
  }

  return {
    buffer,
    end,
    thread,
    allocate(size, align = 64) {
      const at = Math.ceil(low / align) * align;
      check(at + size <= high, size);
      low = at + size;
      return at;
    },
    reserve(size, align = 64) {
      const at = Math.floor((high - size) / align) * align;
      check(at >= low, size);
      high = at;
      return at;
    },
    sparse(address, length) {
      if (thread === 0 && length > 0) options.sparse?.(address, length);
    },
  };
}
