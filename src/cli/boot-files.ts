/** The files that a run boots from: those that the user names, those of an image, or the default guest. */
import { cacheDirectory } from '../images/apt/cache.ts';
import type { Progress } from '../images/apt/progress.ts';
import { defaultGuest } from '../images/default-guest.ts';
import type { BootFile } from '../sdk/machine-host.ts';
import type { Configuration } from '../vm/configuration.ts';
import { closeBootFile, openBootFile } from './boot-file.ts';
import type { MadeFrom } from './machines/state-directory.ts';

export interface BootRequest
  extends Pick<Configuration, 'kernel' | 'initrd' | 'append' | 'architecture' | 'mirror' | 'keyring'> {
  readonly madeFrom?: MadeFrom | undefined;
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
async function usual(request: BootRequest, { env, progress, signal }: BootHost): Promise<MadeFrom | Guest> {
  if (request.madeFrom !== undefined) return request.madeFrom;
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

type Guest = Awaited<ReturnType<typeof defaultGuest>>;

/** Opens what to boot. @throws VirtsError for what cannot be opened or made. */
export async function bootFiles(request: BootRequest, host: BootHost): Promise<Boot> {
  const opened: BootFile[] = [];
  function open(path: string, what: string): BootFile {
    const file = openBootFile(path, what);
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
