/** What a disk device and the back end of its disk say to each other over an `IoPort`. Nothing here is of any one device. */

/** Operations; `position` and `count` are bytes, multiples of 512. */
export const BLOCK_OPERATION = {
  /** Fills the segments from `position` on. */
  read: 0,
  /** Writes the segments at `position`. */
  write: 1,
  /** The same, and answers only when it is on stable storage. */
  writeThrough: 2,
  /** Answers when all writes that were answered before it was posted are on stable storage. */
  flush: 3,
  /** `count` bytes are of no more interest; what they read as is not defined. */
  discard: 4,
  /** `count` bytes read as zeros; they may be given back to the host, or must keep their place there. */
  zeroAndUnmap: 5,
  zeroInPlace: 6,
} as const;

/** Results. */
export const BLOCK_RESULT = { ok: 0, failed: 1, unsupported: 2 } as const;

/** A disk as a device sees it. */
export interface DiskShape {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Whether `discard`, and zeros without data, are of any use. */
  readonly discards: boolean;
  /** Bytes of the pieces that the back end discards in, a power of two from 512 up. */
  readonly granularity: number;
}
