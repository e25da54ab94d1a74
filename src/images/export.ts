/** Images as files: a tar archive with all that an image is, or its disk alone. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createZstdCompress } from 'node:zlib';
import { pack } from 'tar-stream';
import { VirtsError } from '../base/errors.ts';
import { copyDisk } from '../storage/copy-disk.ts';
import { createFilledDisk } from '../storage/create-disk.ts';
import { openDisk } from '../storage/open-disk.ts';
import { createFile } from './apt/cache.ts';
import type { Progress } from './apt/progress.ts';
import { FILES, type Image, RECORD } from './store.ts';

/** What a file's name says that is to be in it. */
export type ExportFormat = 'tar' | 'tar.zst' | 'qcow2' | 'raw';

/** @throws VirtsError `usage`. */
export function exportFormat(path: string): ExportFormat {
  if (path.endsWith('.tar.zst')) return 'tar.zst';
  const format = ({ '.tar': 'tar', '.qcow2': 'qcow2', '.raw': 'raw', '.img': 'raw' } as const)[extname(path)];
  if (format !== undefined) return format;
  throw new VirtsError(
    'usage',
    `The name ${path} does not say what is wanted: .tar or .tar.zst for the whole image, .qcow2, .raw or .img for its disk.`,
    { path },
  );
}

/** The archive, `image.json` first. */
export function imageTar(image: Image, signal: AbortSignal, advance: (bytes: number) => void): Readable {
  const { record } = image;
  const files = [
    [FILES.kernel, image.kernel, record.kernel.size],
    ...(image.initrd === undefined ? [] : ([[FILES.initrd, image.initrd, record.initrd!.size]] as const)),
    [FILES.disk, image.disk, record.disk.size],
  ] as const;
  const tar = pack();
  const mtime = new Date(record.created);
  const write = async (): Promise<void> => {
    tar.entry({ name: RECORD, mtime, mode: 0o644 }, `${JSON.stringify(record, undefined, 2)}\n`);
    for (const [name, path, size] of files) {
      const entry = tar.entry({ name, size, mtime, mode: 0o644 }, () => {});
      const source = createReadStream(path, { highWaterMark: 1 << 20, signal });
      source.on('data', (chunk) => advance(chunk.length));
      await pipeline(source, entry);
    }
    tar.finalize();
  };
  write().catch((error: unknown) => tar.destroy(error as Error));
  return Readable.from(tar, { objectMode: false });
}

async function exportTar(image: Image, path: string, compressed: boolean, progress: Progress, signal: AbortSignal) {
  const step = progress.step(`Exporting ${image.record.name}`, image.record.disk.size);
  const file = await createFile(path);
  try {
    const tar = imageTar(image, signal, step.advance);
    const take = async (source: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const chunk of source) await file.write(chunk);
    };
    if (compressed) await pipeline(tar, createZstdCompress(), take);
    else await pipeline(tar, take);
    await file.commit();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    await file.discard();
    step.end();
  }
}

async function exportDisk(
  image: Image,
  path: string,
  format: 'qcow2' | 'raw',
  progress: Progress,
  signal: AbortSignal,
) {
  const source = await openDisk({ path: image.disk, format: 'qcow2', readOnly: true });
  const step = progress.step(`Exporting the disk of ${image.record.name}`, source.size);
  try {
    await createFilledDisk(path, format, source.size, (disk) => copyDisk(source, disk, signal, step.advance));
  } finally {
    step.end();
    await source.close();
  }
}

/**
 * Writes an image to a file, which appears when it is whole.
 * @throws VirtsError `usage` for a name that says no format or is taken, `no-space`, `io`, or the reason of the abort.
 */
export async function exportImage(image: Image, path: string, progress: Progress, signal: AbortSignal): Promise<void> {
  const format = exportFormat(path);
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere) throw new VirtsError('usage', `${path} exists already; give another name or remove it.`, { path });
  if (format === 'qcow2' || format === 'raw') return exportDisk(image, path, format, progress, signal);
  return exportTar(image, path, format === 'tar.zst', progress, signal);
}
