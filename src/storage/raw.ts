/** A raw image: the bytes of the disk and nothing else. */
import { VirtsError } from '../base/errors.ts';
import { type BlockDevice, SECTOR } from './block-device.ts';
import { type ByteFile, memoryFile } from './byte-file.ts';

/** Bytes that the host's file systems give back as one. */
const GRANULARITY = 4096;

/** A disk over all of a file. A last sector that the file has only a part of ends in zeros. */
export function rawDisk(file: ByteFile): BlockDevice {
  const size = Math.ceil(file.size / SECTOR) * SECTOR;
  if (!Number.isSafeInteger(size)) throw new VirtsError('unsupported', `${file.name} is larger than any disk.`);
  return {
    size,
    readOnly: file.readOnly,
    granularity: GRANULARITY,
    read: file.read,
    write: file.write,
    writeZeroes: file.zero,
    discard: (position, length) => file.zero(position, length, true),
    flush: file.sync,
    ...(file.warning && { warning: file.warning }),
    async close() {
      try {
        if (!file.readOnly) await file.sync();
      } finally {
        await file.close();
      }
    },
  };
}

/** An empty disk of `size` bytes that lives as long as the process. */
export function memoryDisk(size: number): BlockDevice {
  const file = memoryFile('memory');
  file.truncate(size);
  return rawDisk(file);
}
