/** Images from files, which may come from anywhere: archives that `export` wrote, or disks of other programs. */
import { createReadStream } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { createZstdDecompress } from 'node:zlib';
import { type Entry, extract } from 'tar-stream';
import { VirtsError } from '../base/errors.ts';
import { copyDisk } from '../storage/copy-disk.ts';
import { createFilledDisk } from '../storage/create-disk.ts';
import { openHostFile } from '../storage/host-file.ts';
import { type Format, openDisk } from '../storage/open-disk.ts';
import { readHeader } from '../storage/qcow2/header.ts';
import { createFile, fileError } from './apt/cache.ts';
import type { Progress } from './apt/progress.ts';
import { checkImageName, type Draft, draftImage, FILES, type Image, ImageRecord, openImage, RECORD } from './store.ts';

export interface ImportOptions {
  readonly path: string;
  /** What to call the image; by default what an archive says. */
  readonly name: string | undefined;
  /** For disks: what to boot them with. */
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string | undefined;
  readonly format: Format | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** The command line of a disk's kernel unless told. */
const DEFAULT_APPEND = 'console=ttyS0 root=/dev/vda';
const MAX_RECORD = 4 << 20;
/** Most bytes of a kernel or an initrd. */
const MAX_BOOT_FILE = 2 ** 30;

type Kind = 'tar' | 'tar.zst' | 'disk';

async function kindOf(path: string): Promise<Kind> {
  try {
    const file = await open(path, 'r');
    try {
      const head = Buffer.alloc(512);
      await file.read(head, 0, head.length, 0);
      if (head.readUInt32LE(0) === 0xfd2fb528) return 'tar.zst';
      return head.toString('latin1', 257, 262) === 'ustar' ? 'tar' : 'disk';
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path, 'read');
  }
}

/** An image of that name must not be lost by a mistake. */
async function refuseExisting(name: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await openImage(name, env);
  } catch (error) {
    if (error instanceof VirtsError && error.kind === 'not-found') return;
    throw error;
  }
  throw new VirtsError('usage', `There is an image ${name} already; give another name, or remove that one first.`, {
    name,
  });
}

const notAnImage = (path: string, why: string, cause?: unknown): VirtsError =>
  new VirtsError('bad-input', `${path} is no image that virts exported: ${why}.`, { path }, cause);

async function readRecord(entry: Entry, path: string): Promise<ImageRecord> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of entry) {
    length += chunk.length;
    if (length > MAX_RECORD) throw notAnImage(path, `its ${RECORD} is too long`);
    chunks.push(chunk);
  }
  try {
    return ImageRecord.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch (error) {
    throw notAnImage(path, `its ${RECORD} cannot be understood`, error);
  }
}

/** Takes a file out of the archive, if it is the one that the record tells of. */
async function takeFile(
  entry: Entry,
  target: string,
  expected: { readonly size: number; readonly sha256: string },
  path: string,
  advance: (bytes: number) => void,
): Promise<void> {
  const { name, size } = entry.header;
  if (size !== expected.size) throw notAnImage(path, `${name} has not the size that it should have`);
  const file = await createFile(target);
  try {
    for await (const chunk of entry) {
      await file.write(chunk);
      advance(chunk.length);
    }
    if (file.digest() !== expected.sha256) throw notAnImage(path, `the checksum of ${name} is wrong`);
    await file.commit();
  } finally {
    await file.discard();
  }
}

/** An image's disk must have nothing behind it, which could be any file of the host. Opening it checks the rest. */
async function checkDisk(path: string, from: string, record: ImageRecord): Promise<void> {
  const file = await openHostFile(path, { readOnly: true });
  try {
    if ((await readHeader(file)).backing !== undefined) throw notAnImage(from, 'its disk has a backing file');
  } finally {
    await file.close();
  }
  const disk = await openDisk({ path, format: 'qcow2', readOnly: true });
  await disk.close();
  if (disk.size !== record.disk.virtualSize) throw notAnImage(from, 'the size of its disk is wrong');
}

/** Reads the archive into drafts of its own making. */
async function importTar(options: ImportOptions, compressed: boolean): Promise<Image> {
  const { path, env, progress, signal } = options;
  const source = createReadStream(path, { highWaterMark: 1 << 20, signal });
  const unpacked = compressed
    ? source.on('error', (error) => unpacked.destroy(error)).pipe(createZstdDecompress())
    : source;
  const tar = extract();
  unpacked.on('error', (error) => tar.destroy(error));
  unpacked.pipe(tar);
  let draft: Draft | undefined;
  let record: ImageRecord | undefined;
  const step = progress.step(`Importing ${path}`);
  try {
    const taken = new Set<string>();
    for await (const entry of tar) {
      const { name } = entry.header;
      if (record === undefined) {
        if (name !== RECORD) throw notAnImage(path, `it does not begin with ${RECORD}`);
        record = await readRecord(entry, path);
        const wanted = options.name ?? record.name;
        draft = await draftImage(wanted, env);
        await refuseExisting(wanted, env);
        continue;
      }
      const [key] = Object.entries(FILES).find(([, file]) => file === name) ?? [];
      const expected = key === undefined ? undefined : record[key as keyof typeof FILES];
      if (expected === undefined || taken.has(name))
        throw notAnImage(path, `it has a file ${name.replaceAll(/[^\x20-\x7e]/g, '?')} that it should not have`);
      taken.add(name);
      await takeFile(entry, join(draft!.directory, name), expected, path, step.advance);
    }
    if (record === undefined || draft === undefined) throw notAnImage(path, 'it is empty');
    const { kernel, initrd, disk, id: _id, format: _format, name: _name, recipe: _recipe, ...about } = record;
    for (const [file, expected] of Object.entries({ kernel, initrd, disk })) {
      if (expected !== undefined && !taken.has(FILES[file as keyof typeof FILES]))
        throw notAnImage(path, `it has no ${file}`);
    }
    await checkDisk(join(draft.directory, FILES.disk), path, record);
    return await draft.commit({ ...about, virtualSize: disk.virtualSize });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof VirtsError) throw error;
    throw notAnImage(path, 'it is damaged', error);
  } finally {
    step.end();
    source.destroy();
    await draft?.close();
  }
}

async function copyBootFile(from: string, to: string): Promise<void> {
  try {
    const file = await open(from, 'r');
    const { size } = await file.stat();
    await file.close();
    if (size > MAX_BOOT_FILE) throw new VirtsError('bad-input', `${from} is too large to boot from.`, { path: from });
    await copyFile(from, to);
  } catch (error) {
    throw fileError(error, from, 'read');
  }
}

/** Makes an image of a disk, with all that is behind it, and a kernel. */
async function importDisk(options: ImportOptions): Promise<Image> {
  const { path, name, kernel, initrd, append = DEFAULT_APPEND, format, env, progress, signal } = options;
  if (kernel === undefined || name === undefined) {
    const what = kernel === undefined ? 'the kernel that boots it, with --kernel' : 'what the image is to be called';
    throw new VirtsError('usage', `${path} is a disk; say ${what}.`, { path });
  }
  const source = await openDisk({ path, format, readOnly: true });
  let draft: Draft | undefined;
  const step = progress.step(`Importing ${path}`, source.size);
  try {
    draft = await draftImage(name, env);
    await refuseExisting(name, env);
    await copyBootFile(kernel, join(draft.directory, FILES.kernel));
    if (initrd !== undefined) await copyBootFile(initrd, join(draft.directory, FILES.initrd));
    await createFilledDisk(join(draft.directory, FILES.disk), 'qcow2', source.size, (disk) =>
      copyDisk(source, disk, signal, step.advance),
    );
    return await draft.commit({
      ...{ distribution: 'unknown', release: 'unknown', architecture: 'amd64', packages: [] },
      ...{ created: new Date().toISOString(), append, virtualSize: source.size },
    });
  } finally {
    step.end();
    await draft?.close();
    await source.close();
  }
}

/**
 * Makes an image of a file.
 * @throws VirtsError `usage` for what does not fit together and for a name that is taken, `bad-input` for what is no image, `untrusted`
 * for a disk with files of the host behind it, `not-found`, `no-space`, `io`, or the reason of the abort.
 */
export async function importImage(options: ImportOptions): Promise<Image> {
  if (options.name !== undefined) checkImageName(options.name);
  const kind = options.format === undefined ? await kindOf(options.path) : 'disk';
  if (kind === 'disk') return importDisk(options);
  const useless = (['kernel', 'initrd', 'append'] as const).find((name) => options[name] !== undefined);
  if (useless === undefined) return importTar(options, kind === 'tar.zst');
  throw new VirtsError('usage', `${options.path} is a whole image, which --${useless} has no use for.`, {
    path: options.path,
  });
}
