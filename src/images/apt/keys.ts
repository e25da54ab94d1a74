/** Which keys vouch for a source. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VirtsError } from '../../base/errors.ts';
import { isMissing, type SignedBy, type Source } from './sources.ts';
import { dearmor, type TrustedKeys } from './verify.ts';

/** Where Debian, and distributions that carry its keyring, put the archive's keys. */
export const DEBIAN_KEYRINGS: readonly string[] = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/debian-archive-keyring.pgp',
];

/** Reads a keyring, binary or ASCII-armoured. @throws VirtsError `not-found` or `io`. */
export async function readKeyring(path: string): Promise<Buffer> {
  try {
    return dearmor(await readFile(path));
  } catch (error) {
    const kind = isMissing(error) ? 'not-found' : 'io';
    throw new VirtsError(
      kind,
      `The keyring ${path} cannot be read; name another with --keyring FILE.`,
      { path },
      error,
    );
  }
}

async function firstThere(paths: readonly string[]): Promise<Buffer | undefined> {
  for (const path of paths) {
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes !== undefined) return dearmor(bytes);
  }
  return undefined;
}

/** The keys that APT trusts for sources without `Signed-By`: trusted.gpg and trusted.gpg.d below `directory`. */
async function trustedByApt(directory: string): Promise<Buffer[]> {
  const parts = join(directory, 'trusted.gpg.d');
  const names = (await readdir(parts).catch(() => [] as string[])).filter((name) => /\.(gpg|asc|pgp)$/.test(name));
  const paths = [...names.toSorted().map((name) => join(parts, name)), join(directory, 'trusted.gpg')];
  const found = await Promise.all(paths.map((path) => readFile(path).catch(() => undefined)));
  return found.filter((bytes) => bytes !== undefined).map(dearmor);
}

async function fromSignedBy(signedBy: SignedBy, directory: string): Promise<TrustedKeys> {
  if (signedBy.armored !== undefined) return { keyrings: [dearmor(Buffer.from(signedBy.armored))], only: [] };
  if (signedBy.files.length > 0) {
    return { keyrings: await Promise.all(signedBy.files.map(readKeyring)), only: signedBy.fingerprints };
  }
  return { keyrings: await trustedByApt(directory), only: signedBy.fingerprints };
}

/**
 * The keys for a source: the keyring that the user names, else its `Signed-By`, else the Debian keyring together with
 * the keys that the host trusts for every source.
 * @throws VirtsError `untrusted` when the host has none.
 */
export async function keysFor(source: Source, directory: string, keyring: string | undefined): Promise<TrustedKeys> {
  if (keyring !== undefined) return { keyrings: [await readKeyring(keyring)], only: [] };
  if (source.signedBy !== undefined) return fromSignedBy(source.signedBy, directory);
  const debian = await firstThere(DEBIAN_KEYRINGS);
  const keyrings = [...(debian === undefined ? [] : [debian]), ...(await trustedByApt(directory))];
  if (keyrings.length === 0) {
    throw new VirtsError(
      'untrusted',
      "This host has no Debian archive keyring; install the package debian-archive-keyring or name the archive's keys with --keyring FILE.",
    );
  }
  return { keyrings, only: [] };
}
