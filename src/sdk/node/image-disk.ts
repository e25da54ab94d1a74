/** The disk of a machine that is made from an image: a thin layer over the image's, which takes what the guest writes. */
import { rm } from 'node:fs/promises';
import type { Image } from '../../images/store.ts';
import { openHostFile } from '../../storage/host-file.ts';
import { createQcow2 } from '../../storage/qcow2/create.ts';
import type { DiskConfiguration } from '../../vm/configuration.ts';

/** Lays a new disk over that of an image. @throws VirtsError `no-space`, `io`. */
export async function layOverImage({ record, disk }: Image, path: string): Promise<void> {
  const file = await openHostFile(path, { readOnly: false, create: true });
  try {
    await createQcow2(file, record.disk.virtualSize, { name: disk, format: 'qcow2' });
    await file.close();
  } catch (error) {
    await file.close().catch(() => {});
    // A part of one would be taken for what it is not.
    await rm(path, { force: true });
    throw error;
  }
}

/** The disk that `layOverImage` made. The image behind it was named by us. */
export function layeredDisk(path: string): DiskConfiguration {
  return { path, format: 'qcow2', readOnly: false, snapshot: false, anyBacking: true };
}

/** The disk of an image under a layer that is gone when it is closed. */
export function passingDisk({ disk }: Image): DiskConfiguration {
  return { path: disk, format: 'qcow2', readOnly: false, snapshot: true, anyBacking: false };
}
