/** The disk by which cloud-init in a guest gets its user data. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileError } from '../../images/apt/cache.ts';
import { noCloudSeed } from '../../images/seed/no-cloud.ts';
import type { BlockDevice } from '../../storage/block-device.ts';

/**
 * A seed with a file's content. The guest takes it as new where it has not seen the same content before.
 * @throws VirtsError `not-found`, `io`, `usage`.
 */
export async function seedDisk(path: string): Promise<BlockDevice> {
  const userData = await readFile(path).catch((error: unknown) => {
    throw fileError(error, path, 'read');
  });
  const instance = `virts-${createHash('sha256').update(userData).digest('hex').slice(0, 16)}`;
  return noCloudSeed({ userData, instance });
}
