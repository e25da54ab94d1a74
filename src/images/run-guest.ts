/** A machine that works for the host: what builds an image is handed a function that starts one. */
import type { BlockDevice } from '../storage/block-device.ts';

export interface GuestRun {
  /** How messages call it. */
  readonly name: string;
  /** A bzImage. */
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  /** The kernel's command line. */
  readonly append: string;
  /** Bytes, a multiple of 4 KiB. */
  readonly memory: number;
  /** vCPUs. */
  readonly cpus: number;
  /** In the order in which the guest finds them. */
  readonly disks: readonly BlockDevice[];
  /** Takes what the guest writes to its first serial port; valid during the call only. */
  readonly output: (bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
}

/**
 * Runs a machine until it switches itself off, in whatever way, or the signal is aborted, whose reason it then rejects with. When
 * it settles, nobody uses the disks any more.
 */
export type RunGuest = (run: GuestRun) => Promise<void>;
