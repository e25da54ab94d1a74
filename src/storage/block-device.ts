/** A disk as the rest of Virts sees it, whatever it is made of. Knows nothing of the device that a guest reaches it by. */
import type { Bytes } from './byte-file.ts';

export interface BlockDevice {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Bytes of the pieces that can be discarded: a power of two from 512 up. */
  readonly granularity: number;
  /**
   * Ranges are multiples of 512 inside the disk. Operations may overlap; where they touch the same bytes, each sector
   * holds what one of them left there. All reject with VirtsError: 'io', 'no-space' (nothing is lost by trying again), 'bad-input'
   * (the image contradicts itself).
   */
  read(position: number, into: Bytes): Promise<void>;
  write(position: number, from: Bytes): Promise<void>;
  /** The range reads as zeros from then on. `unmap`: it need not keep its place in the file. */
  writeZeroes(position: number, length: number, unmap: boolean): Promise<void>;
  /** What is in the range is of no more interest. What lies wholly in it is given back to the host where that can be. */
  discard(position: number, length: number): Promise<void>;
  /** All that was written before is on stable storage when this resolves. */
  flush(): Promise<void>;
  /** A sentence for the user on what befell the disk while it was open; known after `flush`. */
  warning?(): string | undefined;
  /** Flushes, and gives up files and locks. Nothing may be under way. */
  close(): Promise<void>;
}

/** Sectors are the unit of every range. */
export const SECTOR = 512;
