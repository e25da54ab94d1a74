/** Copies of disks. */
import type { BlockDevice } from './block-device.ts';

/** Bytes that are read and written at once. */
const STEP = 1 << 20;
const ZEROS = Buffer.alloc(STEP);

/**
 * Copies a whole disk to one that is at least as large and reads as zeros; what is zero is passed over, and takes no room there.
 * Rejects as `read`, `write` and `flush` do, or with the reason of the abort.
 */
export async function copyDisk(
  from: Pick<BlockDevice, 'size' | 'read'>,
  to: Pick<BlockDevice, 'write' | 'flush'>,
  signal: AbortSignal,
  advance: (bytes: number) => void,
): Promise<void> {
  const buffer = new Uint8Array(STEP);
  for (let at = 0; at < from.size; at += STEP) {
    signal.throwIfAborted();
    const piece = buffer.subarray(0, Math.min(STEP, from.size - at));
    await from.read(at, [piece]);
    if (Buffer.compare(piece, ZEROS.subarray(0, piece.length)) !== 0) await to.write(at, [piece]);
    advance(piece.length);
  }
  await to.flush();
}
