/** Opens disk images by name, with the images behind them. */
import { realpath } from 'node:fs/promises';
import { dirname, extname, isAbsolute, join, relative, sep } from 'node:path';
import { VirtsError } from '../base/errors.ts';
import type { BlockDevice } from './block-device.ts';
import type { ByteFile } from './byte-file.ts';
import { diskError, openHostFile } from './host-file.ts';
import { openHttpFile } from './http/http-file.ts';
import { isAddress, shownAddress } from './http/ranges.ts';
import { openQcow2Disk } from './qcow2/disk.ts';
import { type Backing, damaged, MAGIC, readHeader } from './qcow2/header.ts';
import { rawDisk } from './raw.ts';

export const FORMATS = ['raw', 'qcow2'] as const;
export type Format = (typeof FORMATS)[number];

export interface DiskRequest {
  /** A file of the host, or the address of one on a web server (`http:`, `https:`), which can only be read. */
  readonly path: string;
  /** What the name ends in says, unless told. */
  readonly format?: Format | undefined;
  readonly readOnly?: boolean | undefined;
  /** Whether backing files may be anywhere on the host, because the image is trusted. */
  readonly anyBacking?: boolean | undefined;
}

/** The longest chain of images behind images. */
const MAX_CHAIN = 16;

function openFile(path: string, readOnly: boolean): Promise<ByteFile> {
  if (!isAddress(path)) return openHostFile(path, { readOnly });
  if (readOnly) return openHttpFile({ url: path, fetch });
  const message = `${shownAddress(path)} is on a web server and can only be read; add snapshot, or readonly, or use it as the backing file of an overlay.`;
  throw new VirtsError('usage', message);
}

async function beginsAsQcow2(file: ByteFile): Promise<boolean> {
  const magic = new Uint8Array(4);
  await file.read(0, [magic]);
  return new DataView(magic.buffer).getUint32(0) === MAGIC;
}

/** The format of an image whose user did not say it. Throws 'usage' where that is not safe to guess. */
export async function guessFormat(file: ByteFile): Promise<Format> {
  if (['.qcow2', '.qcow'].includes(extname(file.name))) return 'qcow2';
  if (!(await beginsAsQcow2(file))) return 'raw';
  // A guest may write that to a raw disk, to have other files of the host opened as parts of the image.
  const message = `${file.name} begins as a qcow2 image does, but is not called so; say format=qcow2, or format=raw if a guest wrote that.`;
  throw new VirtsError('usage', message, { path: file.name });
}

/**
 * Where a backing file is. An image may come from anywhere: unless trusted, it may name files below its own directory only, on the host
 * or on its server. One on a server never names files of the host.
 * @param path where the image is.
 */
async function backingPath(path: string, file: ByteFile, { name }: Backing, anywhere: boolean): Promise<string> {
  const shown = name.replaceAll(/[^\x20-\x7e]/g, '?');
  const refuse = (why: string) =>
    new VirtsError('untrusted', `${file.name} has the backing file ${shown}, ${why}.`, {
      path: file.name,
      backing: name,
    });
  if (name.includes('\0')) throw refuse('which is no name of a file');
  const inside = 'say backing=any if you trust the image';
  if (isAddress(path) || isAddress(name)) {
    const base = isAddress(path) ? path : undefined;
    const target = URL.canParse(name, base) ? new URL(name, base) : undefined;
    if (target === undefined || !isAddress(target.href)) throw refuse('which is no address');
    if (anywhere) return target.href;
    if (isAddress(path) && target.href.startsWith(new URL('.', path).href)) return target.href;
    throw refuse(`which is ${isAddress(path) ? 'outside its directory' : 'on a web server'}; ${inside}`);
  }
  if (/^[a-z][a-z0-9+.-]*:/i.test(name)) throw refuse('which is no file of this host');
  if (anywhere) return isAbsolute(name) ? name : join(dirname(file.name), name);
  if (isAbsolute(name)) throw refuse(`which is no relative name; ${inside}`);
  try {
    const [own, target] = await Promise.all([realpath(dirname(file.name)), realpath(join(dirname(file.name), name))]);
    const way = relative(own, target);
    if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) {
      throw refuse(`which is outside its directory; ${inside}`);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw refuse('which does not exist');
    throw diskError(error, file.name, 'opened');
  }
  return join(dirname(file.name), name);
}

async function backingFormat(file: ByteFile, format: string | undefined): Promise<Format> {
  if (format === 'raw' || format === 'qcow2') return format;
  if (format === undefined) return (await beginsAsQcow2(file)) ? 'qcow2' : 'raw';
  const shown = format.replaceAll(/[^\x20-\x7e]/g, '?');
  throw new VirtsError('unsupported', `${file.name} is a backing file in the format ${shown}, which is not supported.`);
}

/** Closes a file when what it is needed for fails. */
async function orClose<T>(file: ByteFile, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** An image that is open as a file, and where it is. */
interface Opened {
  readonly path: string;
  readonly file: ByteFile;
}

async function openFormat(
  { path, file }: Opened,
  format: Format,
  anyBacking: boolean,
  depth = 0,
): Promise<BlockDevice> {
  if (format === 'raw') return rawDisk(file);
  const header = await readHeader(file);
  let backing: BlockDevice | undefined;
  if (header.backing !== undefined) {
    if (depth >= MAX_CHAIN) throw damaged(file, 'there are too many images behind it, or it is its own backing file');
    const place = await backingPath(path, file, header.backing, anyBacking);
    const behind = { path: place, file: await openFile(place, true) };
    backing = await orClose(behind.file, async () =>
      openFormat(behind, await backingFormat(behind.file, header.backing?.format), anyBacking, depth + 1),
    );
  }
  try {
    return await openQcow2Disk(file, header, backing);
  } catch (error) {
    await backing?.close();
    throw error;
  }
}

/**
 * Opens a disk image. Throws VirtsError: see `openHostFile` and `openHttpFile`; 'bad-input' and 'unsupported' for what is in it; 'untrusted' for a backing
 * file that an image must not name.
 */
export async function openDisk(request: DiskRequest): Promise<BlockDevice> {
  const { path, format, readOnly = false, anyBacking = false } = request;
  const file = await openFile(path, readOnly);
  return orClose(file, async () => openFormat({ path, file }, format ?? (await guessFormat(file)), anyBacking));
}
