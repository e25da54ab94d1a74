import type { Arena } from './arena.ts';

/** Memory for structs, without the hundreds of mebibytes of a machine's; `buffer` is that of another thread's arena. */
export function smallArena(buffer = new SharedArrayBuffer(1 << 20)): Arena {
  let next = 64;
  return {
    buffer,
    allocate(size, align = 64) {
      const at = Math.ceil(next / align) * align;
      if (at + size > buffer.byteLength) throw new RangeError('The arena of this test is too small');
      next = at + size;
      return at;
    },
  };
}
