/** `virts pull`: makes an image. */
import { readFileSync } from 'node:fs';
import { VirtsError } from '../base/errors.ts';
import { cacheDirectory, fileError } from '../images/apt/cache.ts';
import { type Pulled, pullDebian } from '../images/debian/pull.ts';
import { openImage } from '../images/store.ts';
import { guestRunner } from '../sdk/node/run-guest.ts';
import type { Environment } from './environment.ts';
import { showProgress } from './progress.ts';

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

/** Makes the image of a distribution, with progress on standard error. @throws VirtsError as `pullDebian` does; `usage`. */
export async function pullImage(
  distribution: string,
  request: PullRequest,
  environment: Environment,
  signal: AbortSignal,
): Promise<Pulled> {
  if (!DISTRIBUTIONS.includes(distribution)) {
    const known = DISTRIBUTIONS.join(', ');
    throw new VirtsError('usage', `There is no '${distribution}' to be pulled; there is: ${known}.`, { distribution });
  }
  const progress = showProgress(environment.stderr);
  return pullDebian({
    name: request.name ?? distribution,
    diskSize: request.size,
    include: request.include ?? [],
    authorizedKeys: request.sshKey === undefined ? '' : readPublicKeys(request.sshKey),
    cache: cacheDirectory(environment.env),
    mirror: request.mirror,
    keyring: request.keyring,
    run: guestRunner(environment.startMachine, progress.warn),
    env: environment.env,
    signal,
    progress,
  });
}

/**
 * Makes the image that a machine is to have, if it is one that `pullImage` makes and is not there yet.
 * @throws VirtsError as `pullImage` and `openImage` do.
 */
export async function pullMissing(image: string, environment: Environment, signal: AbortSignal): Promise<void> {
  if (!DISTRIBUTIONS.includes(image)) return;
  try {
    await openImage(image, environment.env);
  } catch (error) {
    if (!(error instanceof VirtsError) || error.kind !== 'not-found') throw error;
    await pullImage(image, { size: DEFAULT_DISK_SIZE }, environment, signal);
  }
}
