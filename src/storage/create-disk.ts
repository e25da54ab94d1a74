/** Makes disk images. */
import { rename, rm } from 'node:fs/promises';
import type { BlockDevice } from './block-device.ts';
import { openHostFile } from './host-file.ts';
import type { Format } from './open-disk.ts';
import { createQcow2 } from './qcow2/create.ts';
import { openQcow2Disk } from './qcow2/disk.ts';
import { readHeader } from './qcow2/header.ts';
import { rawDisk } from './raw.ts';

/** Makes an empty disk of `size` bytes, a multiple of 512. Rejects with VirtsError `io` if the file exists, `no-space`. */
export async function createDisk(path: string, format: Format, size: number): Promise<BlockDevice> {
  const file = await openHostFile(path, { readOnly: false, create: true });
  try {
    if (format === 'raw') {
      await file.truncate(size);
      return rawDisk(file);
    }
    await createQcow2(file, size);
    return await openQcow2Disk(file, await readHeader(file), undefined);
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
}

/** Makes a disk under a temporary name, has it filled, and gives it its name; when that fails nothing is left. */
export async function createFilledDisk(
  path: string,
  format: Format,
  size: number,
  fill: (disk: BlockDevice) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  const disk = await createDisk(temporary, format, size);
  try {
    try {
      await fill(disk);
    } finally {
      await disk.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
