/** The guest that runs when none is named: Debian's kernel and busybox, made into an initramfs. */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { VirtsError } from '../base/errors.ts';
import { type Architecture, type ArchiveOptions, openArchive } from './apt/archive.ts';
import { writeWhole } from './apt/cache.ts';
import type { Progress } from './apt/progress.ts';
import { fileSha256 } from './file-digest.ts';
import { writeCpio } from './initramfs/cpio.ts';
import { guestEntries, MODULES, recipe } from './initramfs/guest-files.ts';
import { selectModules } from './initramfs/modules.ts';
import { type Fetched, readBusybox, readKernel } from './initramfs/packages.ts';

/** A guest ready to boot. */
export interface Guest {
  /** Path of a bzImage. */
  readonly kernel: string;
  /** Path of an uncompressed initramfs. */
  readonly initrd: string;
  /** The kernel's command line. */
  readonly append: string;
}

export interface DefaultGuestOptions
  extends Pick<ArchiveOptions, 'cache' | 'mirror' | 'keyring' | 'signal' | 'progress'> {
  /** `amd64` by default. */
  readonly architecture?: Architecture | undefined;
  /** Ask the archive for newer packages even if it was asked not long ago. */
  readonly refresh?: boolean | undefined;
  /** See ArchiveOptions. */
  readonly archive?: Pick<ArchiveOptions, 'aptDirectory' | 'env' | 'verifier'>;
}

const RELEASE = 'bookworm';
const KERNEL_PACKAGE: Readonly<Record<Architecture, string>> = {
  amd64: 'linux-image-cloud-amd64',
  i386: 'linux-image-686',
};
const APPEND = 'console=ttyS0';
/** How long (ms) a guest is used without asking the archive for newer packages. */
const FRESH = 7 * 86_400_000;
/** How long (ms) a guest is kept that nobody has used. */
const KEPT = 30 * 86_400_000;

/** What is known of a guest that was made. */
const Made = z.object({
  /** By its packages and its recipe; its directory is named after it. */
  key: z.string().regex(/^[0-9a-f]{16}$/),
  /** When the archive was last asked, in milliseconds since 1970. */
  asked: z.number(),
  /** SHA-256. */
  kernel: z.string(),
  initrd: z.string(),
});

type Made = z.infer<typeof Made>;

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');

async function readMade(path: string): Promise<Made | undefined> {
  try {
    return Made.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    // Missing or of another version: the guest is made anew.
    return undefined;
  }
}

/** A short name for what a value says. */
const keyOf = (value: unknown): string => sha256(JSON.stringify(value)).slice(0, 16);

/** The directory of a guest; when it was changed last is when the guest was used last. */
const placeOf = (directory: string, key: string): string => join(directory, `guest-${key}`);
const PLACE = /^guest-[0-9a-f]{16}$/;
/** Other versions of Virts, which make their guests otherwise, have records of their own, and so has each mirror. */
const recordOf = (directory: string, mirror = ''): string => join(directory, `made-${keyOf([recipe(), mirror])}.json`);
const RECORD = /^made-[0-9a-f]{16}\.json$/;

const guestIn = (directory: string, key: string): Guest => ({
  kernel: join(placeOf(directory, key), 'vmlinuz'),
  initrd: join(placeOf(directory, key), 'initrd'),
  append: APPEND,
});

async function noteUse(directory: string, key: string): Promise<void> {
  const now = new Date();
  // In a cache that cannot be changed nothing is removed either.
  await utimes(placeOf(directory, key), now, now).catch(() => {});
}

/** Whether a guest is there as it was made; it counts as used now. */
async function isIntact(directory: string, { key, kernel, initrd }: Made): Promise<boolean> {
  const guest = guestIn(directory, key);
  await noteUse(directory, key);
  try {
    return (await fileSha256(guest.kernel)) === kernel && (await fileSha256(guest.initrd)) === initrd;
  } catch {
    return false;
  }
}

/** Builds kernel and initramfs from the two packages. */
async function build(
  kernel: Fetched,
  busybox: Fetched,
  signal: AbortSignal,
): Promise<{ kernel: Uint8Array; initrd: Uint8Array }> {
  const [{ image, version, modules }, shell] = await Promise.all([
    readKernel(kernel, signal),
    readBusybox(busybox, signal),
  ]);
  return { kernel: image, initrd: writeCpio(guestEntries(shell, version, selectModules(modules, MODULES))) };
}

/**
 * Removes guests that nobody has used for long, whoever made them, and records of guests that are gone. A machine that still
 * runs such a guest has its files open.
 */
async function removeUnused(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => [] as string[]);
  for (const name of names.filter((one) => PLACE.test(one))) {
    const path = join(directory, name);
    const used = (await stat(path).catch(() => undefined))?.mtimeMs;
    if (used !== undefined && Date.now() - used > KEPT) await rm(path, { recursive: true, force: true });
  }
  for (const name of names.filter((one) => RECORD.test(one))) {
    const path = join(directory, name);
    const made = await readMade(path);
    const isThere =
      made !== undefined && (await stat(placeOf(directory, made.key)).catch(() => undefined)) !== undefined;
    if (!isThere) await rm(path, { force: true });
  }
}

/** Asks the archive and makes the guest, unless the one there is already of these packages. */
async function make(options: DefaultGuestOptions, directory: string, before: Made | undefined): Promise<Guest> {
  const { cache, mirror, keyring, signal, progress, architecture = 'amd64' } = options;
  const archive = await openArchive({
    ...options.archive,
    ...{ release: RELEASE, architecture, cache, mirror, keyring, signal, progress },
  });
  const kernel = archive.resolve(KERNEL_PACKAGE[architecture]);
  const busybox = archive.resolve('busybox-static');
  const key = keyOf([kernel.sha256, busybox.sha256, recipe()]);
  const guest = guestIn(directory, key);
  const asked = Date.now();
  const record = (kernelSum: string, initrdSum: string): Promise<void> => {
    const made: Made = { key, asked, kernel: kernelSum, initrd: initrdSum };
    return writeWhole(recordOf(directory, mirror), Buffer.from(`${JSON.stringify(made)}\n`));
  };
  if (before?.key === key && (await isIntact(directory, before))) {
    await record(before.kernel, before.initrd);
    return guest;
  }
  const kernelPath = await archive.fetch(kernel);
  const busyboxPath = await archive.fetch(busybox);
  const step = progress.step('Making the initramfs');
  try {
    const built = await build(
      { candidate: kernel, path: kernelPath },
      { candidate: busybox, path: busyboxPath },
      signal,
    );
    await writeWhole(guest.kernel, built.kernel);
    await writeWhole(guest.initrd, built.initrd);
    await record(sha256(built.kernel), sha256(built.initrd));
  } finally {
    step.end();
  }
  await noteUse(directory, key);
  await removeUnused(directory);
  return guest;
}

function warnStale(progress: Progress, error: VirtsError): void {
  progress.warn(`Using the guest that was made before: ${error.message}`);
}

/**
 * The default guest: from the cache if it was made not long ago, else from the archive. When the network fails, a guest
 * that was made before serves on.
 * @throws VirtsError as `openArchive` and `readDeb` do, or the reason of the abort.
 */
export async function defaultGuest(options: DefaultGuestOptions): Promise<Guest> {
  const directory = join(options.cache, 'guests', options.architecture ?? 'amd64');
  const before = await readMade(recordOf(directory, options.mirror));
  const isThere = before !== undefined && (await isIntact(directory, before));
  const age = Date.now() - (before?.asked ?? 0);
  if (isThere && options.refresh !== true && age >= 0 && age < FRESH) return guestIn(directory, before.key);
  try {
    return await make(options, directory, before);
  } catch (error) {
    if (!isThere || options.signal.aborted || !(error instanceof VirtsError) || error.kind !== 'network') throw error;
    warnStale(options.progress, error);
    return guestIn(directory, before.key);
  }
}
