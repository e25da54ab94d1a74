/** Opens disk images by name. */
import { extname } from 'node:path';
import { VirtsError } from '../base/errors.ts';
import type { BlockDevice } from './block-device.ts';
import type { ByteFile } from './byte-file.ts';
import { openHostFile } from './host-file.ts';
import { rawDisk } from './raw.ts';

export const FORMATS = ['raw', 'qcow2'] as const;
export type Format = (typeof FORMATS)[number];

export interface DiskRequest {
  readonly path: string;
  /** What the name ends in says, unless told. */
  readonly format?: Format | undefined;
  readonly readOnly?: boolean | undefined;
}

/** The format of an image whose user did not say it. */
export async function guessFormat(file: ByteFile): Promise<Format> {
  if (['.qcow2', '.qcow'].includes(extname(file.name))) return 'qcow2';
  const magic = new Uint8Array(4);
  await file.read(0, [magic]);
  if (new DataView(magic.buffer).getUint32(0) !== 0x514649fb) return 'raw';
  // A guest may write that to a raw disk, to have other files of the host opened as parts of the image.
  const message = `${file.name} begins as a qcow2 image does, but is not called so; say format=qcow2, or format=raw if a guest wrote that.`;
  throw new VirtsError('usage', message, { path: file.name });
}

/** Opens a disk image. Throws VirtsError: see `openHostFile`; 'bad-input' and 'unsupported' for what is in it. */
export async function openDisk({ path, format, readOnly = false }: DiskRequest): Promise<BlockDevice> {
  const file = await openHostFile(path, { readOnly });
  try {
    if ((format ?? (await guessFormat(file))) === 'raw') return rawDisk(file);
    throw new VirtsError('unsupported', 'qcow2');
  } catch (error) {
    await file.close();
    throw error;
  }
}
