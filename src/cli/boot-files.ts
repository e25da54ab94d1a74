/** The files that a run boots from: those that the user names, or the default guest. */
import { VirtsError } from '../base/errors.ts';
import type { Architecture } from '../images/apt/archive.ts';
import { cacheDirectory } from '../images/apt/cache.ts';
import { defaultGuest } from '../images/default-guest.ts';
import type { BootFile } from '../sdk/machine-host.ts';
import { closeBootFile, openBootFile } from './boot-file.ts';
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

/** Opens what to boot. Without `--kernel` it makes the default guest, whose command line `--append` then adds to. */
export async function bootFiles(options: BootOptions, environment: Environment, signal: AbortSignal): Promise<Boot> {
  checkCombination(options);
  const opened: BootFile[] = [];
  function open(path: string, what: string): BootFile {
    const file = openBootFile(path, what);
    opened.push(file);
    return file;
  }
  try {
    const initrd = options.initrd === undefined ? undefined : open(options.initrd, 'initrd');
    if (options.kernel !== undefined) {
      return { kernel: open(options.kernel, 'kernel'), append: options.append ?? '', ...(initrd && { initrd }) };
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
      kernel: open(guest.kernel, 'kernel'),
      initrd: initrd ?? open(guest.initrd, 'initrd'),
      append: [guest.append, options.append ?? ''].join(' ').trim(),
    };
  } catch (error) {
    opened.forEach(closeBootFile);
    throw error;
  }
}

export function closeBootFiles({ kernel, initrd }: Boot): void {
  closeBootFile(kernel);
  if (initrd !== undefined) closeBootFile(initrd);
}
