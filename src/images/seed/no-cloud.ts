/** A seed for cloud-init's data source "NoCloud": a volume called `cidata` with what a guest is to make of itself at its first boot. */
import { VirtsError } from '../../base/errors.ts';
import type { BlockDevice } from '../../storage/block-device.ts';
import { isoDisk, isoText } from '../../storage/iso9660.ts';

export interface Seed {
  /** cloud-init's user data: a `#cloud-config` text, a script, or whatever else it takes. */
  readonly userData: Uint8Array;
  /** By which the guest tells whether this is its first boot. */
  readonly instance: string;
  /** The guest's host name; left as it is if there is none. */
  readonly hostname?: string | undefined;
}

const MOST_USER_DATA = 16 * 1024 * 1024;

/** The volume, as a disk. @throws VirtsError `usage` where the user data cannot be such. */
export function noCloudSeed({ userData, instance, hostname }: Seed): BlockDevice {
  if (userData.length === 0 || userData.length > MOST_USER_DATA) {
    throw new VirtsError('usage', 'User data has from one byte to 16 MiB.', { length: userData.length });
  }
  // JSON is YAML, and its strings need no further care.
  const metaData = JSON.stringify({
    'instance-id': instance,
    ...(hostname === undefined ? {} : { 'local-hostname': hostname }),
  });
  return isoDisk('cidata', [isoText('meta-data', `${metaData}\n`), isoText('user-data', userData)]);
}
