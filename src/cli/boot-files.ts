/** The files that a run boots from: those that the user names, or the default guest. */
import { readFile } from 'node:fs/promises';
import { VirtsError } from '../base/errors.ts';
import type { Architecture } from '../images/apt/archive.ts';
import { cacheDirectory, fileError } from '../images/apt/cache.ts';
import { defaultGuest } from '../images/default-guest.ts';
import type { BootFile } from '../sdk/machine-host.ts';
import { bootFileBuffer } from '../sdk/running-machine.ts';
import type { Environment } from './environment.ts';
import { showProgress } from './progress.ts';

export interface BootOptions {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly arch?: Architecture;
  readonly mirror?: string;
  readonly keyring?: string;
  readonly refresh?: boolean;
}

export interface Boot {
  readonly kernel: BootFile;
  readonly initrd?: BootFile;
  readonly append: string;
}

async function readBootFile(path: string, what: string): Promise<BootFile> {
  try {
    const content = await readFile(path);
    const bytes = bootFileBuffer(content.length);
    bytes.set(content);
    return { name: path, bytes };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new VirtsError('not-found', `There is no ${what} ${path}.`, { path }, error);
    if (code === 'EISDIR') throw new VirtsError('bad-input', `${path} is a directory, not a ${what}.`, { path }, error);
    if (code === 'ERR_FS_FILE_TOO_LARGE') {
      throw new VirtsError('no-space', `The ${what} ${path} is larger than any guest's memory.`, { path }, error);
    }
    throw fileError(error, path, 'read');
  }
}

/** Options that only say how the default guest is to be made. */
const GUEST_OPTIONS = ['arch', 'mirror', 'keyring', 'refresh'] as const;

function checkCombination(options: BootOptions): void {
  if (options.kernel === undefined) return;
  const useless = GUEST_OPTIONS.find((name) => options[name] !== undefined);
  if (useless === undefined) return;
  throw new VirtsError(
    'usage',
    `--${useless} is for the default guest and has no use together with --kernel; leave one of them out.`,
  );
}

/** Reads what to boot. Without `--kernel` it makes the default guest, whose command line `--append` then adds to. */
export async function bootFiles(options: BootOptions, environment: Environment, signal: AbortSignal): Promise<Boot> {
  checkCombination(options);
  const own = options.initrd === undefined ? undefined : await readBootFile(options.initrd, 'initrd');
  if (options.kernel !== undefined) {
    const kernel = await readBootFile(options.kernel, 'kernel');
    return { kernel, append: options.append ?? '', ...(own === undefined ? {} : { initrd: own }) };
  }
  const guest = await defaultGuest({
    architecture: options.arch,
    cache: cacheDirectory(environment.env),
    mirror: options.mirror,
    keyring: options.keyring,
    refresh: options.refresh,
    signal,
    progress: showProgress(environment.stderr),
    archive: { env: environment.env },
  });
  return {
    kernel: await readBootFile(guest.kernel, 'kernel'),
    initrd: own ?? (await readBootFile(guest.initrd, 'initrd')),
    append: [guest.append, options.append ?? ''].join(' ').trim(),
  };
}
