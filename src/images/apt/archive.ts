/** A Debian archive: its signed indexes, looking a package up in them, fetching it. */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { VirtsError } from '../../base/errors.ts';
import { sweep } from './cache.ts';
import { readAptOptions } from './config.ts';
import { compressionOf, decompress } from './decompress.ts';
import { dependencyClosure } from './dependencies.ts';
import { downloadFile, type Expected, fetchBytes, isMismatch } from './download.ts';
import { createOpener, type Opener } from './http.ts';
import { keysFor } from './keys.ts';
import { metapackageTarget, newest, openIndex, type Package, type PackageIndex, unknownPackage } from './packages.ts';
import type { Progress } from './progress.ts';
import { checkRelease, parseRelease, type Release } from './release.ts';
import { mirrorPockets, type Pocket, selectPockets } from './select.ts';
import { readSources, type Source } from './sources.ts';
import { findGpgv, gpgvVerifier, openpgpVerifier, type Signed, type Verifier } from './verify.ts';

export type Architecture = 'amd64' | 'i386';

export interface ArchiveOptions {
  /** Debian's code name, e.g. `bookworm`. */
  readonly release: string;
  readonly architecture: Architecture;
  /** Directory for what is kept between runs. */
  readonly cache: string;
  /** Base address of an archive to use instead of the host's package sources. */
  readonly mirror?: string | undefined;
  /** A keyring to use instead of the host's. */
  readonly keyring?: string | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Where APT's configuration is; `/etc/apt` by default. */
  readonly aptDirectory?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Checks signatures; by default the host's gpgv, or else the openpgp package. */
  readonly verifier?: Verifier;
}

/** A package and the archive that has it. */
export interface Candidate extends Package {
  readonly uri: string;
}

export interface Archive {
  /** What is in use: the release and those of its updates that answered. */
  readonly sources: readonly Source[];
  /**
   * The newest version of a package, from the release and its updates. A metapackage stands for the package that it
   * depends on.
   * @throws VirtsError `not-found`.
   */
  resolve(name: string): Candidate;
  /**
   * The newest versions of `names` and of everything they need, sorted by name; see `dependencyClosure`.
   * @throws VirtsError `not-found`.
   */
  closure(names: readonly string[], without?: ReadonlySet<string>): Candidate[];
  /**
   * Downloads a package, unless the cache has it, and returns the path of the .deb.
   * @param progress is told of it in place of the archive's.
   */
  fetch(candidate: Candidate, progress?: Progress): Promise<string>;
}

const MAX_RELEASE = 8 << 20;
/** Days after which what was not used again leaves the cache. */
const KEEP_DAYS = 30;

interface Context extends ArchiveOptions {
  readonly open: Opener;
  readonly verify: Verifier;
  readonly apt: string;
}

interface Index {
  readonly source: Source;
  readonly packages: PackageIndex;
}

const isKind = (error: unknown, ...kinds: string[]): boolean =>
  error instanceof VirtsError && kinds.includes(error.kind);

async function fetchSigned(context: Context, base: string): Promise<Signed> {
  const get = (name: string): Promise<Buffer> =>
    fetchBytes(context.open, `${base}/${name}`, MAX_RELEASE, context.signal);
  try {
    return { text: await get('InRelease') };
  } catch (error) {
    if (!isKind(error, 'not-found')) throw error;
    return { text: await get('Release'), signature: await get('Release.gpg') };
  }
}

async function fetchRelease(context: Context, source: Source): Promise<Release> {
  const base = `${source.uri}/dists/${source.suite}`;
  const signed = await fetchSigned(context, base);
  const keys = await keysFor(source, context.apt, context.keyring);
  const release = parseRelease(await context.verify(signed, keys, `${source.suite} at ${source.uri}`));
  checkRelease(release, source.suite, source.checkValidUntil, Date.now());
  return release;
}

async function isIntact(path: string, expected: Expected): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  if (info?.size !== expected.size) return false;
  return (
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex') === expected.sha256
  );
}

/** Gets a file into the cache from the first of several addresses that has the right one. */
async function fetchCached(
  context: Context,
  urls: readonly string[],
  path: string,
  expected: Expected,
  label: string,
): Promise<void> {
  if (await isIntact(path, expected)) return;
  for (const [at, url] of urls.entries()) {
    const step = context.progress.step(label, expected.size);
    try {
      return await downloadFile(context.open, url, path, expected, context.signal, step);
    } catch (error) {
      if (at === urls.length - 1 || !(isKind(error, 'not-found') || isMismatch(error))) throw error;
    } finally {
      step.end();
    }
  }
}

async function unpack(path: string, limit: number, signal: AbortSignal): Promise<Buffer> {
  const packed = await readFile(path);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of decompress(
    Readable.from([packed]),
    compressionOf(path, path.replace(/\.(xz|gz)$/, ''))!,
    path,
  )) {
    signal.throwIfAborted();
    length += chunk.length;
    if (length > limit) throw new VirtsError('bad-input', `${path} is longer than its index says.`, { path, limit });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

async function fetchIndex(context: Context, source: Source): Promise<Index> {
  const release = await fetchRelease(context, source);
  const plain = `main/binary-${context.architecture}/Packages`;
  const base = `${source.uri}/dists/${source.suite}`;
  const limit = release.files.get(plain)?.size ?? 1 << 28;
  let failure: unknown = new VirtsError(
    'not-found',
    `The archive has no packages for ${context.architecture} in ${source.suite}; name another mirror with --mirror URL.`,
  );
  for (const ending of ['.xz', '.gz']) {
    const expected = release.files.get(plain + ending);
    if (expected === undefined) continue;
    const path = join(context.cache, 'indexes', `${expected.sha256}${ending}`);
    const byHash = `${base}/${plain.replace(/[^/]+$/, '')}by-hash/SHA256/${expected.sha256}`;
    const urls = [...(release.byHash ? [byHash] : []), `${base}/${plain}${ending}`];
    try {
      await fetchCached(context, urls, path, expected, `Package index of ${source.suite}`);
      return { source, packages: openIndex(await unpack(path, limit, context.signal)) };
    } catch (error) {
      if (!isKind(error, 'not-found') && !isMismatch(error)) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function fetchPocket(context: Context, pocket: Pocket): Promise<Index | undefined> {
  let failure: unknown;
  for (const source of pocket.sources) {
    try {
      return await fetchIndex(context, source);
    } catch (error) {
      context.signal.throwIfAborted();
      failure = error;
    }
  }
  // A mirror in the middle of an update is no attack; a Release file with a wrong signature may be one.
  const passing = isKind(failure, 'not-found', 'network') || isMismatch(failure);
  if (pocket.required || !passing) throw failure;
  context.progress.warn(`Going on without ${pocket.suite}: ${(failure as VirtsError).message}`);
  return undefined;
}

/** Fetches all pockets side by side; when one fails for good, the others end with it. */
async function fetchPockets(context: Context, pockets: readonly Pocket[]): Promise<Index[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const results = await Promise.allSettled(
    pockets.map(async (pocket) => {
      try {
        return await fetchPocket({ ...context, signal }, pocket);
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  // Every other failure is the abort's, whose reason is the first one.
  context.signal.throwIfAborted();
  if (failed.signal.aborted) throw failed.signal.reason;
  return results.flatMap((result) =>
    result.status === 'fulfilled' && result.value !== undefined ? [result.value] : [],
  );
}

/** Removes from the cache what was not written for a long time. */
async function prune(directory: string): Promise<void> {
  const oldest = Date.now() - KEEP_DAYS * 86_400_000;
  for (const name of await readdir(directory).catch(() => [] as string[])) {
    const path = join(directory, name);
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile() && info.mtimeMs < oldest) await rm(path, { force: true }).catch(() => {});
  }
}

function findIn(indexes: readonly Index[], name: string, version?: string): Candidate | undefined {
  const all = indexes.flatMap(({ source, packages }) =>
    packages.find(name).map((entry) => ({ ...entry, uri: source.uri })),
  );
  return newest(version === undefined ? all : all.filter((entry) => entry.version === version));
}

function resolveIn(indexes: readonly Index[], options: ArchiveOptions, name: string): Candidate {
  let candidate = findIn(indexes, name);
  // Metapackages stand for one another at most a few deep; the bound is against an index that goes in circles.
  for (let depth = 0; candidate !== undefined && depth < 4; depth++) {
    const target = metapackageTarget(candidate);
    if (target === undefined) return candidate;
    candidate = findIn(indexes, target.name, target.version);
  }
  if (candidate === undefined) throw unknownPackage(name, options.architecture, options.release);
  return candidate;
}

/**
 * Opens the archive for a release: fetches and verifies its Release files and package indexes.
 * @throws VirtsError `usage` without package sources, `network`, `untrusted`, `not-found`, `no-space`, `io`.
 */
export async function openArchive(options: ArchiveOptions): Promise<Archive> {
  const { env = process.env, aptDirectory: apt = '/etc/apt', release, mirror } = options;
  const gpgv = options.verifier === undefined ? await findGpgv(env) : undefined;
  const context: Context = {
    ...options,
    apt,
    open: createOpener(await readAptOptions(apt), env),
    verify: options.verifier ?? (gpgv === undefined ? openpgpVerifier : gpgvVerifier(gpgv)),
  };
  const pockets =
    mirror === undefined ? selectPockets(await readSources(apt), release) : mirrorPockets(mirror, release);
  await sweep(options.cache);
  const indexes = await fetchPockets(context, pockets);
  await prune(join(options.cache, 'indexes'));
  await prune(join(options.cache, 'packages'));
  return {
    sources: indexes.map(({ source }) => source),
    resolve: (name) => resolveIn(indexes, options, name),
    closure: (names, without = new Set()) =>
      dependencyClosure(names, without, {
        find: (name) => findIn(indexes, name),
        providers: (name) => indexes.flatMap(({ packages }) => packages.providers(name)),
        unknown: (name) => unknownPackage(name, options.architecture, release),
      }),
    async fetch(candidate, progress = context.progress) {
      const safe = `${candidate.name}_${candidate.version}_${candidate.architecture}`.replaceAll(/[^\w.+~-]/g, '%');
      const path = join(options.cache, 'packages', `${safe}.${candidate.sha256.slice(0, 16)}.deb`);
      await fetchCached(
        { ...context, progress },
        [`${candidate.uri}/${candidate.filename}`],
        path,
        candidate,
        candidate.name,
      );
      return path;
    },
  };
}
