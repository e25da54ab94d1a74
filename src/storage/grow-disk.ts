/** Makes disks in images larger. */
import { VirtsError } from '../base/errors.ts';
import { SECTOR } from './block-device.ts';
import { openHostFile } from './host-file.ts';
import { type DiskRequest, guessFormat } from './open-disk.ts';
import { growQcow2 } from './qcow2/grow.ts';
import { readHeader } from './qcow2/header.ts';

/**
 * Makes the disk in an image at least `size` bytes large. What is new reads as zeros; what the guest has on it, such as partitions, it has
 * to make larger itself.
 * @throws VirtsError as `openDisk` does; 'usage' for a size that is smaller than the disk is, or no number of sectors.
 */
export async function growDisk({ path, format }: Pick<DiskRequest, 'path' | 'format'>, size: number): Promise<void> {
  if (!Number.isSafeInteger(size) || size % SECTOR !== 0) {
    throw new VirtsError('usage', 'The size of a disk is a multiple of 512 bytes.', { size });
  }
  const file = await openHostFile(path, { readOnly: false });
  try {
    const isRaw = (format ?? (await guessFormat(file))) === 'raw';
    const header = isRaw ? undefined : await readHeader(file);
    const before = header?.size ?? file.size;
    if (size < before) {
      const message = `The disk in ${path} has ${before} bytes and cannot be made smaller: what it holds would be lost.`;
      throw new VirtsError('usage', message, { path, size });
    }
    if (size === before) return;
    if (header === undefined) await file.truncate(size);
    else await growQcow2(file, header, size);
    await file.sync();
  } finally {
    await file.close();
  }
}
