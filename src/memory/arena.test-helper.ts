import { type Arena, createArena } from './arena.ts';

/** Memory for structs, without the hundreds of mebibytes of a machine's; `buffer` is that of thread 0's arena. */
export const smallArena = (buffer: ArrayBufferLike = new SharedArrayBuffer(1 << 20), thread = 0): Arena =>
  createArena(buffer, { end: buffer.byteLength, thread });
