/** The guest that runs when none is named: Debian's kernel and busybox, made into an initramfs. */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
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

/** What is known of a guest that was made. */
const Made = z.object({
  /** Name of its directory. */
  key: z.string().regex(/^[0-9a-f]+$/),
  recipe: z.string(),
  /** The mirror, or empty for the host's package sources. */
  mirror: z.string(),
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

const guestIn = (directory: string): Guest => ({
  kernel: join(directory, 'vmlinuz'),
  initrd: join(directory, 'initrd'),
  append: APPEND,
});

async function isIntact(guest: Guest, made: Made): Promise<boolean> {
  try {
    return (await fileSha256(guest.kernel)) === made.kernel && (await fileSha256(guest.initrd)) === made.initrd;
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

async function removeOthers(directory: string, key: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [] as string[])) {
    if (/^[0-9a-f]{16}$/.test(name) && name !== key) await rm(join(directory, name), { recursive: true, force: true });
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
  const key = sha256(JSON.stringify([kernel.sha256, busybox.sha256, recipe()])).slice(0, 16);
  const guest = guestIn(join(directory, key));
  const common = { key, recipe: sha256(recipe()), mirror: mirror ?? '', asked: Date.now() };
  const record = (kernelSum: string, initrdSum: string): Promise<void> => {
    const made: Made = { ...common, kernel: kernelSum, initrd: initrdSum };
    return writeWhole(join(directory, 'current.json'), Buffer.from(`${JSON.stringify(made)}\n`));
  };
  if (before?.key === key && (await isIntact(guest, before))) {
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
  await removeOthers(directory, key);
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
  const made = await readMade(join(directory, 'current.json'));
  const fits = made !== undefined && made.recipe === sha256(recipe()) && made.mirror === (options.mirror ?? '');
  const before = fits ? made : undefined;
  const isThere = before !== undefined && (await isIntact(guestIn(join(directory, before.key)), before));
  const age = Date.now() - (before?.asked ?? 0);
  if (isThere && options.refresh !== true && age >= 0 && age < FRESH) return guestIn(join(directory, before.key));
  try {
    return await make(options, directory, before);
  } catch (error) {
    if (!isThere || options.signal.aborted || !(error instanceof VirtsError) || error.kind !== 'network') throw error;
    warnStale(options.progress, error);
    return guestIn(join(directory, before.key));
  }
}
