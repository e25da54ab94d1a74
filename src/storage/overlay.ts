/** A thin layer over a disk that takes all that is written to it and leaves the disk as it is. */
import { randomBytes } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlockDevice } from './block-device.ts';
import { openHostFile } from './host-file.ts';
import { createQcow2 } from './qcow2/create.ts';
import { openQcow2Disk } from './qcow2/disk.ts';
import { readHeader } from './qcow2/header.ts';

/**
 * Lays a layer over a disk that is gone when it is closed, or when the process ends in any way: its file has no name. The disk is
 * closed with it.
 */
export async function temporaryOverlay(disk: BlockDevice): Promise<BlockDevice> {
  const path = join(tmpdir(), `virts-${randomBytes(8).toString('hex')}.qcow2`);
  const file = await openHostFile(path, { readOnly: false, create: true });
  try {
    await unlink(path);
    await createQcow2(file, disk.size);
    return await openQcow2Disk(file, await readHeader(file), disk);
  } catch (error) {
    await file.close();
    throw error;
  }
}
