/** Files of Debian's packages as entries of an initramfs. */
import { createHash } from 'node:crypto';
import { type ArchiveOptions, openArchive } from '../src/images/apt/archive.ts';
import { type DebEntry, debEntries } from '../src/images/apt/deb.ts';
import type { CpioEntry } from '../src/images/initramfs/cpio.ts';

/** Documentation, translations, development files that nothing here uses, and the largest unused programs. */
const UNWANTED: readonly RegExp[] = [
  /^etc\//,
  /^usr\/share\/(?!python)/,
  /^usr\/lib\/x86_64-linux-gnu\/(gconv|gprofng|ldscripts|engines-3|ossl-modules)\//,
  /^usr\/lib\/x86_64-linux-gnu\/(?!libc_nonshared).*\.a$/,
  /^usr\/lib\/gcc\/.*\/(lto1|lto-wrapper|g\+\+-mapper-server|plugin|[^/]*san[^/]*)(\/|$)/,
  /^usr\/lib\/gcc\/.*\/(?!libgcc)[^/]*\.a$/,
  /^usr\/bin\/(.*-)?(lto-dump|gcov|gcov-dump|gcov-tool|dwp|ld\.gold|gprof|gp-.*|gprofng)(-12)?$/,
  /^usr\/include\/(drm|misc|mtd|rdma|scsi|sound|video|xen)\//,
];

/** Debian 12's packages still put files below `/bin` and `/lib`, which are links to the ones below `/usr`. */
const mergedPath = (path: string): string => path.replace(/^(bin|sbin|lib|lib32|lib64|libx32)(?=\/|$)/, 'usr/$1');

/** Whether an entry of a package goes into the guest. */
export function isWanted(path: string): boolean {
  const merged = mergedPath(path);
  return !UNWANTED.some((pattern) => pattern.test(merged));
}

/** An entry of a package as one of the initramfs; a hard link becomes a symbolic one. */
export function cpioEntry(entry: DebEntry): CpioEntry {
  const path = mergedPath(entry.path);
  switch (entry.type) {
    case 'file':
      return { type: 'file', path, content: entry.content, mode: entry.mode & 0o755 };
    case 'symlink':
      return { type: 'symlink', path, target: entry.target };
    case 'link':
      return { type: 'symlink', path, target: `/${mergedPath(entry.target)}` };
    case 'directory':
      return { type: 'directory', path };
  }
}

/** Where packages come from. */
export type PackageSource = Pick<ArchiveOptions, 'cache' | 'mirror' | 'keyring' | 'signal' | 'progress'>;

export interface PackageFiles {
  readonly entries: CpioEntry[];
  /** Names and versions of the packages. */
  readonly packages: readonly string[];
  /** Changes with any of their files. */
  readonly key: string;
}

/** Most bytes of what is taken from one package. */
const MAX_PACKAGE = 1 << 28;

/**
 * Files of packages and of what they depend on, `without` some and what only those need. `wanted`: whether a file of a
 * package goes in, as `isWanted` if absent; `placed`: how.
 * @throws VirtsError as `openArchive` and `debEntries` do.
 */
export async function packageEntries(
  source: PackageSource,
  choice: {
    readonly names: readonly string[];
    readonly without: ReadonlySet<string>;
    wanted?(path: string, name: string): boolean;
    placed?(entry: CpioEntry, name: string): CpioEntry;
  },
): Promise<PackageFiles> {
  const { cache, mirror, keyring, signal, progress } = source;
  const { names, without, wanted = isWanted, placed = (entry) => entry } = choice;
  const archive = await openArchive({
    ...{ release: 'bookworm', architecture: 'amd64', cache, mirror, keyring, signal, progress },
  });
  const candidates = archive.closure(names, without);
  const entries: CpioEntry[] = [];
  for (const candidate of candidates) {
    const { name } = candidate;
    const path = await archive.fetch(candidate);
    for await (const entry of debEntries(path, (file) => wanted(file, name), MAX_PACKAGE, signal)) {
      if (entry.path !== '') entries.push(placed(cpioEntry(entry), name));
    }
  }
  return {
    entries,
    packages: candidates.map(({ name, version }) => `${name} ${version}`),
    key: createHash('sha256')
      .update(JSON.stringify(candidates.map(({ sha256 }) => sha256)))
      .digest('hex'),
  };
}
