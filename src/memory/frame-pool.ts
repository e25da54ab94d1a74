/**
 * The frames that back guest RAM: 4 KiB pieces of the shared memory, reference-counted, handed out from 2 MiB clusters so
 * that neighbouring guest pages usually lie side by side.
 */
import { VirtsError } from '../base/errors.ts';
import type { Arena } from './arena.ts';
import { MEMORY_SIZE, PAGE_SIZE } from './layout.ts';

/** Frames in a cluster. */
export const CLUSTER_FRAMES = 512;

const FRAME_END = MEMORY_SIZE / PAGE_SIZE;

export interface FramePool {
  readonly buffer: ArrayBufferLike;
  /** The frame that all zero pages show; never written. */
  readonly zeroFrame: number;
  /** Frames in use, the zero frame not counted. */
  readonly used: number;
  /** Takes a frame, zeroed, near `hint` if that is free. Throws VirtsError 'no-space' when none is left. */
  allocate(hint?: number): number;
  /** Adds a reference. */
  share(frame: number): void;
  /** Drops a reference; the last one frees the frame. */
  release(frame: number): void;
  /** References to a frame. */
  references(frame: number): number;
}

/** A pool over the part of the shared memory above the arena. A frame is named by its page number in that memory. */
export function createFramePool(arena: Arena): FramePool {
  const { buffer } = arena;
  const counts = new Int32Array(buffer, arena.allocate(FRAME_END * 4), FRAME_END);
  const bytes = new Uint8Array(buffer);
  const free: number[] = [];
  const zeroFrame = arena.end / PAGE_SIZE;
  let next = Math.ceil((zeroFrame + 1) / CLUSTER_FRAMES) * CLUSTER_FRAMES;
  let used = 0;

  function take(frame: number): number {
    Atomics.store(counts, frame, 1);
    used++;
    return frame;
  }
  return {
    buffer,
    zeroFrame,
    get used() {
      return used;
    },
    allocate(hint = 0) {
      if (hint >= next && hint < FRAME_END && hint < next + CLUSTER_FRAMES) {
        for (let frame = next; frame < hint; frame++) free.push(frame);
        next = hint + 1;
        return take(hint);
      }
      const reused = free.pop();
      if (reused !== undefined) {
        bytes.fill(0, reused * PAGE_SIZE, (reused + 1) * PAGE_SIZE);
        return take(reused);
      }
      if (next >= FRAME_END) throw new VirtsError('no-space', 'all memory for guest RAM is in use');
      return take(next++);
    },
    share(frame) {
      Atomics.add(counts, frame, 1);
    },
    release(frame) {
      if (Atomics.sub(counts, frame, 1) > 1) return;
      used--;
      free.push(frame);
    },
    references: (frame) => Atomics.load(counts, frame),
  };
}
