/**
 * The images of this host: `images/<name>/image.json`, and beside it a directory for each content the image has had that is still
 * there, with disk, kernel and initrd. A new content takes the place of an old one by renaming `image.json`; what machines use stays.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { VirtsError } from '../base/errors.ts';
import { lockImage } from '../storage/host-calls.ts';
import { fileError, isAlive, syncDirectory, writeWhole } from './apt/cache.ts';
import { imagesDirectory } from './directories.ts';
import { fileSha256 } from './file-digest.ts';
import { machinesUsing } from './users.ts';

/** A name that a user gives: of an image, and so of its directory. */
export const ImageName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/);

const Digest = z.string().regex(/^[0-9a-f]{64}$/);
const Bytes = z.int().nonnegative();

const StoredFile = z.object({
  /** Bytes. */
  size: Bytes,
  sha256: Digest,
});

/** What makes an image what it is, whatever it is called. */
export const ImageContent = z.object({
  /** Such as `debian`. */
  distribution: z.string().max(64),
  /** Such as `bookworm`. */
  release: z.string().max(64),
  architecture: z.enum(['amd64', 'i386']),
  /** Time of making, ISO 8601 in UTC. */
  created: z.iso.datetime(),
  kernel: StoredFile,
  initrd: StoredFile.optional(),
  /** The kernel's command line. */
  append: z.string().max(2048),
  /** A qcow2 image without a backing file. `virtualSize`: bytes that the guest sees. */
  disk: StoredFile.extend({ virtualSize: Bytes }),
  /** Packages that the image was made of, each `name=version`. */
  packages: z.array(z.string().max(256)).max(20_000),
  /** Of all that it was made of and by: what has the same one need not be made again. */
  recipe: Digest.optional(),
});
export type ImageContent = z.infer<typeof ImageContent>;

/** `image.json`. */
export const ImageRecord = ImageContent.extend({
  format: z.literal(1),
  name: ImageName,
  /** SHA-256 of the content: equal images have equal ones. */
  id: Digest,
});
export type ImageRecord = z.infer<typeof ImageRecord>;

/** An image ready to boot. Its files do not change as long as they are there: another content gets another directory. */
export interface Image {
  readonly record: ImageRecord;
  /** Paths. */
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly disk: string;
  /** The kernel's command line. */
  readonly append: string;
}

export const FILES = { kernel: 'vmlinuz', initrd: 'initrd', disk: 'disk.qcow2' } as const;

export const RECORD = 'image.json';

/** @throws VirtsError `usage`. */
export function checkImageName(name: string): string {
  if (ImageName.safeParse(name).success) return name;
  throw new VirtsError(
    'usage',
    `'${name}' cannot be the name of an image: it takes up to 64 lower-case letters, digits, dots, dashes and underscores, and begins with a letter or digit.`,
    { name },
  );
}

export function imageId(content: ImageContent): string {
  return createHash('sha256')
    .update(JSON.stringify(ImageContent.parse(content)))
    .digest('hex');
}

function imageOf(directory: string, record: ImageRecord): Image {
  const within = join(directory, record.name, record.id);
  return {
    record,
    kernel: join(within, FILES.kernel),
    initrd: record.initrd && join(within, FILES.initrd),
    disk: join(within, FILES.disk),
    append: record.append,
  };
}

const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');

/** The record of an image; `undefined` if there is none. @throws VirtsError `bad-input`, `io`. */
async function readRecord(directory: string, name: string): Promise<ImageRecord | undefined> {
  const path = join(directory, name, RECORD);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fileError(error, path, 'read');
  }
  try {
    const record = ImageRecord.parse(JSON.parse(text));
    if (record.name !== name) throw new Error(`it is of ${record.name}`);
    return record;
  } catch (error) {
    throw new VirtsError(
      'bad-input',
      `The image ${name} is damaged, or of a newer Virts: ${path} cannot be understood; 'virts image rm ${name}' removes it.`,
      { path },
      error,
    );
  }
}

/** Opens an image by its name. @throws VirtsError `not-found`, `bad-input`, `usage`, `io`. */
export async function openImage(name: string, env: NodeJS.ProcessEnv = process.env): Promise<Image> {
  const record = await readRecord(imagesDirectory(env), checkImageName(name));
  if (record === undefined) {
    throw new VirtsError(
      'not-found',
      `There is no image ${name}; 'virts image ls' lists those that there are, 'virts pull debian' makes one.`,
      { name },
    );
  }
  const image = imageOf(imagesDirectory(env), record);
  for (const [path, { size }] of [
    [image.kernel, record.kernel],
    [image.disk, record.disk],
    ...(image.initrd === undefined ? [] : ([[image.initrd, record.initrd!]] as const)),
  ] as const) {
    const info = await stat(path).catch(() => undefined);
    if (info?.size === size) continue;
    const what = info === undefined ? 'is missing' : 'has not the size that it should have';
    throw new VirtsError('bad-input', `The image ${name} is damaged: ${path} ${what}; make it again.`, { path });
  }
  return image;
}

export interface ImageList {
  /** In order of their names. */
  readonly images: readonly Image[];
  /** What is wrong with the others. */
  readonly problems: readonly VirtsError[];
}

/** All images. Those that cannot be read do not keep the others from being listed. */
export async function listImages(env: NodeJS.ProcessEnv = process.env): Promise<ImageList> {
  const directory = imagesDirectory(env);
  const images: Image[] = [];
  const problems: VirtsError[] = [];
  for (const name of (await readdir(directory).catch(() => [] as string[])).toSorted()) {
    if (!ImageName.safeParse(name).success) continue;
    try {
      const record = await readRecord(directory, name);
      if (record !== undefined) images.push(imageOf(directory, record));
    } catch (error) {
      if (!(error instanceof VirtsError)) throw error;
      problems.push(error);
    }
  }
  return { images, problems };
}

/** An image that is being made or changed. Nobody else changes one of that name meanwhile. */
export interface Draft {
  /** Where to put the files, by the names in `FILES`. It is empty. */
  readonly directory: string;
  /** Makes the files and what is known of them the image of that name. */
  commit(content: Omit<ImageContent, 'kernel' | 'initrd' | 'disk'> & { virtualSize: number }): Promise<Image>;
  /** Removes what was not committed, and lets others work on that name. */
  close(): Promise<void>;
}

/** Locks a name against other changes until the function that it returns is called. @throws VirtsError `io`. */
async function lockName(directory: string, name: string): Promise<() => Promise<void>> {
  const path = join(directory, '.locks', name);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'a+', 0o600);
    if (lockImage(file.fd, true)) return () => file.close();
    await file.close();
  } catch (error) {
    throw fileError(error, path, 'written');
  }
  throw new VirtsError('io', `Another virts is working on the image ${name}; wait until it is done.`, { name });
}

/** Removes contents that neither the record names nor a machine uses, and drafts of processes that are gone. */
async function sweepImage(directory: string, record: ImageRecord | undefined, name: string, env: NodeJS.ProcessEnv) {
  const home = join(directory, name);
  for (const entry of await readdir(home).catch(() => [] as string[])) {
    const draft = /^new\.(\d+)$/.exec(entry);
    const path = join(home, entry);
    if (draft !== null ? isAlive(Number(draft[1])) : !Digest.safeParse(entry).success) continue;
    if (entry === record?.id || (await machinesUsing(join(path, FILES.disk), env)).length > 0) continue;
    await rm(path, { recursive: true, force: true });
  }
}

async function describe(path: string): Promise<z.infer<typeof StoredFile>> {
  const file = await open(path, 'r');
  await file.sync();
  const { size } = await file.stat();
  await file.close();
  return { size, sha256: await fileSha256(path) };
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Begins an image, which takes the place of one of that name when it is committed. @throws VirtsError `usage`, `io`, `no-space`. */
export async function draftImage(name: string, env: NodeJS.ProcessEnv = process.env): Promise<Draft> {
  const directory = imagesDirectory(env);
  const home = join(directory, checkImageName(name));
  const unlock = await lockName(directory, name);
  const draft = join(home, `new.${process.pid}`);
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw fileError(error, join(draft, FILES.disk), 'written');
    }
  };
  async function close(): Promise<void> {
    await rm(draft, { recursive: true, force: true }).catch(() => {});
    // Only if nothing else is in it.
    await rmdir(home).catch(() => {});
    await unlock();
  }
  try {
    await attempt(async () => {
      await sweepImage(directory, await readRecord(directory, name).catch(() => undefined), name, env);
      await rm(draft, { recursive: true, force: true });
      await mkdir(draft, { recursive: true });
    });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    directory: draft,
    close,
    commit: ({ virtualSize, ...about }) =>
      attempt(async () => {
        const initrd = join(draft, FILES.initrd);
        const content: ImageContent = ImageContent.parse({
          ...about,
          kernel: await describe(join(draft, FILES.kernel)),
          ...((await isThere(initrd)) && { initrd: await describe(initrd) }),
          disk: { ...(await describe(join(draft, FILES.disk))), virtualSize },
        });
        const record: ImageRecord = { format: 1, name, id: imageId(content), ...content };
        const place = join(home, record.id);
        // One that is there is the same.
        if (!(await isThere(place))) await rename(draft, place);
        await syncDirectory(home);
        await writeWhole(join(home, RECORD), Buffer.from(`${JSON.stringify(record, undefined, 2)}\n`));
        await sweepImage(directory, record, name, env);
        return imageOf(directory, record);
      }),
  };
}

/**
 * Removes an image, also one that is damaged. Files that a running machine has open stay as long as it runs.
 * @param force even if machines use it, which then do not start again.
 * @throws VirtsError `not-found`, `usage`, `io`.
 */
export async function removeImage(name: string, force: boolean, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const directory = imagesDirectory(env);
  const home = join(directory, checkImageName(name));
  if (!(await isThere(home))) throw new VirtsError('not-found', `There is no image ${name}.`, { name });
  const unlock = await lockName(directory, name);
  try {
    const users = new Set<string>();
    for (const entry of await readdir(home)) {
      for (const user of await machinesUsing(join(home, entry, FILES.disk), env)) users.add(user);
    }
    if (users.size > 0 && !force) {
      const machines = `${users.size === 1 ? 'the machine' : 'the machines'} ${[...users].join(', ')}`;
      throw new VirtsError(
        'usage',
        `The image ${name} is in use by ${machines}; remove them first, or use --force, and they never start again.`,
        { name },
      );
    }
    // Without its record it is no image any more, whatever happens then.
    await rm(join(home, RECORD), { force: true });
    await rm(home, { recursive: true, force: true });
  } catch (error) {
    throw fileError(error, home, 'written');
  } finally {
    await unlock();
  }
}
