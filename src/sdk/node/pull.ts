/** Makes the images that Virts knows how to make. */
import { readFileSync } from 'node:fs';
import { VirtsError } from '../../base/errors.ts';
import { cacheDirectory, fileError } from '../../images/apt/cache.ts';
import type { Progress } from '../../images/apt/progress.ts';
import { type Pulled, pullDebian } from '../../images/debian/pull.ts';
import { type Image, openImage } from '../../images/store.ts';
import type { StartMachine } from '../machine-host.ts';
import { guestRunner } from './run-guest.ts';

export interface PullRequest {
  readonly name?: string | undefined;
  /** Bytes. */
  readonly size: number;
  readonly include?: readonly string[] | undefined;
  /** Path of a file with public keys. */
  readonly sshKey?: string | undefined;
  readonly mirror?: string | undefined;
  readonly keyring?: string | undefined;
}

/** Bytes of a disk unless told. It takes only the room on the host that the guest fills. */
export const DEFAULT_DISK_SIZE = 20 * 2 ** 30;

/** The distributions that there are. */
export const DISTRIBUTIONS: readonly string[] = ['debian'];

const KEY_LINE = /^(?:[^#]*\s)?(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+/;

/** Reads public keys. @throws VirtsError `bad-input` for what are none, `not-found`, `io`. */
export function readPublicKeys(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, path, 'read');
  }
  if (/PRIVATE KEY/.test(text)) {
    throw new VirtsError('bad-input', `${path} is a private key; name the public one, ${path}.pub.`, { path });
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (lines.length === 0 || !lines.every((line) => KEY_LINE.test(line))) {
    throw new VirtsError('bad-input', `${path} has no public keys as ssh-keygen makes them.`, { path });
  }
  return `${lines.join('\n')}\n`;
}

/** Where an image is made, and what is told of it. */
export interface PullHost {
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly startMachine: StartMachine;
}

/** Makes the image of a distribution. @throws VirtsError as `pullDebian` does; `usage`. */
export async function pullImage(
  distribution: string,
  request: PullRequest,
  { env, progress, signal, startMachine }: PullHost,
): Promise<Pulled> {
  if (!DISTRIBUTIONS.includes(distribution)) {
    const known = DISTRIBUTIONS.join(', ');
    throw new VirtsError('usage', `There is no '${distribution}' to be pulled; there is: ${known}.`, { distribution });
  }
  return pullDebian({
    name: request.name ?? distribution,
    diskSize: request.size,
    include: request.include ?? [],
    authorizedKeys: request.sshKey === undefined ? '' : readPublicKeys(request.sshKey),
    cache: cacheDirectory(env),
    mirror: request.mirror,
    keyring: request.keyring,
    run: guestRunner(startMachine, progress.warn),
    ...{ env, signal, progress },
  });
}

/**
 * Opens the image that a machine is to have; one that can be made is made first where it is not there yet.
 * @throws VirtsError as `pullImage` and `openImage` do.
 */
export async function openOrPull(name: string, host: PullHost): Promise<Image> {
  try {
    return await openImage(name, host.env);
  } catch (error) {
    const missing = error instanceof VirtsError && error.kind === 'not-found';
    if (!missing || !DISTRIBUTIONS.includes(name)) throw error;
    return (await pullImage(name, { size: DEFAULT_DISK_SIZE }, host)).image;
  }
}
