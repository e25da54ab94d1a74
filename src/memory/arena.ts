/** Hands out shared memory below the frames: state blocks, tables, caches. Nothing is given back before the end. */
import { VirtsError } from '../base/errors.ts';
import { ARENA_SIZE, ARENA_START } from './layout.ts';

export interface Arena {
  readonly buffer: ArrayBufferLike;
  /** Where it ends and frames begin. */
  readonly end: number;
  /** Address of `size` zeroed bytes, aligned to `align` (a power of two). */
  allocate(size: number, align?: number): number;
}

/** An arena up to the address `end`. Throws VirtsError 'no-space' when it is used up. */
export function createArena(buffer: ArrayBufferLike, end = ARENA_SIZE): Arena {
  let next = ARENA_START;
  return {
    buffer,
    end,
    allocate(size, align = 64) {
      const at = Math.ceil(next / align) * align;
      if (at + size > end) throw new VirtsError('no-space', 'the shared memory for tables is used up', { size });
      next = at + size;
      return at;
    },
  };
}
