/**
 * The frames that back guest RAM: 4 KiB pieces of the shared memory, reference-counted, handed out from 2 MiB clusters so
 * that neighbouring guest pages usually lie side by side.
 */
import { VirtsError } from '../base/errors.ts';
import { createLock, locked } from '../base/lock.ts';
import type { Arena } from './arena.ts';
import { LARGE_PAGE, MEMORY_SIZE, PAGE_SIZE } from './layout.ts';

/** Frames in a cluster. */
export const CLUSTER_FRAMES = 512;

const FRAME_END = MEMORY_SIZE / PAGE_SIZE;

/** The first frame above an arena that ends at an address, at the beginning of a cluster. */
export const firstFrame = (arenaEnd: number): number =>
  Math.ceil(arenaEnd / PAGE_SIZE / CLUSTER_FRAMES) * CLUSTER_FRAMES;

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
  /**
   * Drops a reference to each of many frames. Memory of those that were the last goes back to the host, if it can take it. Returns how
   * many that were.
   */
  giveBack(frames: readonly number[]): number;
  /** References to a frame. */
  references(frame: number): number;
}

/** Tells the host that a piece of the memory is of no use until it is written to again; then, or before, it reads as zeros. */
export type MemoryUnused = (address: number, length: number) => void;

/** Words that the threads of a machine share: the lock, the first frame of the list of free ones or 0, what was never used. */
const WORD = { lock: 0, free: 1, next: 2, used: 3, count: 4 } as const;

/** A pool over the part of the shared memory above the arena. A frame is named by its page number in that memory. */
export function createFramePool(arena: Arena, unused?: MemoryUnused): FramePool {
  const { buffer } = arena;
  const first = firstFrame(arena.end);
  /** By frame, from the first on. */
  const counts = new Int32Array(buffer, arena.reserve((FRAME_END - first) * 4, PAGE_SIZE), FRAME_END - first);
  // Frames follow.
  arena.sparse(counts.byteOffset, counts.byteLength - LARGE_PAGE);
  const words = new Int32Array(buffer, arena.allocate(WORD.count * 4), WORD.count);
  const lock = createLock(words.subarray(WORD.lock, WORD.lock + 1), arena.thread);
  const bytes = new Uint8Array(buffer);
  // In the arena: it would have a cluster to itself.
  const zeroFrame = arena.allocate(PAGE_SIZE, PAGE_SIZE) / PAGE_SIZE;
  if (arena.thread === 0) words[WORD.next] = first;

  /** Puts a frame on the list of free ones. Links lie in the counts, below 0: a free frame's memory may be the host's again. */
  function push(frame: number): void {
    Atomics.store(counts, frame - first, ~words[WORD.free]);
    words[WORD.free] = frame;
  }
  function pop(): number {
    const frame = words[WORD.free];
    if (frame !== 0) words[WORD.free] = ~counts[frame - first];
    return frame;
  }

  /** Tells the host of frames that nobody has, neighbours together. They are on no list yet: nobody can get them meanwhile. */
  function tellHost(frames: readonly number[], tell: MemoryUnused): void {
    const sorted = Float64Array.from(frames).sort();
    for (let i = 0; i < sorted.length; ) {
      const start = i;
      while (i < sorted.length && sorted[i] === sorted[start] + (i - start)) i++;
      tell(sorted[start] * PAGE_SIZE, (i - start) * PAGE_SIZE);
    }
  }

  /** A frame and whether it was used before. */
  function find(hint: number): { frame: number; reused: boolean } {
    const next = words[WORD.next];
    const frame = hint === next ? 0 : pop();
    if (frame !== 0) return { frame, reused: true };
    if (next >= FRAME_END) throw new VirtsError('no-space', 'all memory for guest RAM is in use');
    words[WORD.next] = next + 1;
    return { frame: next, reused: false };
  }

  return {
    buffer,
    zeroFrame,
    get used() {
      return words[WORD.used];
    },
    allocate: (hint = 0) =>
      locked(lock, () => {
        const { frame, reused } = find(hint);
        if (reused) bytes.fill(0, frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE);
        Atomics.store(counts, frame - first, 1);
        words[WORD.used]++;
        return frame;
      }),
    share(frame) {
      Atomics.add(counts, frame - first, 1);
    },
    release(frame) {
      if (Atomics.sub(counts, frame - first, 1) > 1) return;
      locked(lock, () => {
        words[WORD.used]--;
        push(frame);
      });
    },
    giveBack(frames) {
      const free = frames.filter((frame) => Atomics.sub(counts, frame - first, 1) === 1);
      if (unused !== undefined) tellHost(free, unused);
      locked(lock, () => {
        words[WORD.used] -= free.length;
        for (const frame of free) push(frame);
      });
      return free.length;
    },
    // A free frame has a link in place of a count.
    references: (frame) => Math.max(0, Atomics.load(counts, frame - first)),
  };
}
