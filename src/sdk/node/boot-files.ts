/** The files that a run boots from: those that the user names, those of an image, or the default guest. */
import { cacheDirectory } from '../../images/apt/cache.ts';
import type { Progress } from '../../images/apt/progress.ts';
import { defaultGuest } from '../../images/default-guest.ts';
import type { Configuration } from '../../vm/configuration.ts';
import type { BootFile, NamedBytes } from '../machine-host.ts';
import { closeBootFile, openBootFile, sharedBytes } from './boot-file.ts';

/** Paths of what boots an image, and its command line. */
export interface BootPaths {
  readonly kernel: string;
  readonly initrd?: string | undefined;
  readonly append: string;
}

/** A path, or what a program has in memory. */
export type BootSource = string | NamedBytes;

export interface BootRequest extends Pick<Configuration, 'append' | 'architecture' | 'mirror' | 'keyring'> {
  readonly kernel?: BootSource | undefined;
  readonly initrd?: BootSource | undefined;
  /** Of the image that the machine is made from; absent: the default guest is booted. */
  readonly imageFiles?: BootPaths | undefined;
  /** Ask the archive for newer packages of the default guest. */
  readonly refresh?: boolean | undefined;
}

/** Where the default guest comes from, and how long that may go on. */
export interface BootHost {
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface Boot {
  readonly kernel: BootFile;
  readonly initrd?: BootFile;
  readonly append: string;
}

/** What is booted unless the request names it: paths, and a command line that its own is added to. */
async function usual(request: BootRequest, { env, progress, signal }: BootHost): Promise<BootPaths> {
  if (request.imageFiles !== undefined) return request.imageFiles;
  return defaultGuest({
    architecture: request.architecture,
    cache: cacheDirectory(env),
    mirror: request.mirror,
    keyring: request.keyring,
    refresh: request.refresh,
    signal,
    progress,
    archive: { env },
  });
}

/** Opens what to boot. @throws VirtsError for what cannot be opened or made. */
export async function bootFiles(request: BootRequest, host: BootHost): Promise<Boot> {
  const opened: BootFile[] = [];
  function open(source: BootSource, what: string): BootFile {
    if (typeof source !== 'string') return { name: source.name, bytes: sharedBytes(source.bytes) };
    const file = openBootFile(source, what);
    opened.push(file);
    return file;
  }
  try {
    const initrd = request.initrd === undefined ? undefined : open(request.initrd, 'initrd');
    if (request.kernel !== undefined) {
      return { kernel: open(request.kernel, 'kernel'), append: request.append ?? '', ...(initrd && { initrd }) };
    }
    const guest = await usual(request, host);
    const ownInitrd = initrd ?? (guest.initrd === undefined ? undefined : open(guest.initrd, 'initrd'));
    return {
      kernel: open(guest.kernel, 'kernel'),
      ...(ownInitrd && { initrd: ownInitrd }),
      append: [guest.append, request.append ?? ''].join(' ').trim(),
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
