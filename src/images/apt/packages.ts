/** A Packages index: looking a package up by its name. */
import { VirtsError } from '../../base/errors.ts';
import { parseStanza } from './deb822.ts';
import { compareVersions } from './version.ts';

/** A binary package that an archive offers. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** The `Depends` field as it stands. */
  readonly depends: string;
  /** The `Pre-Depends` field as it stands. */
  readonly preDepends: string;
  /** Path below the archive's base. */
  readonly filename: string;
  /** Bytes of the .deb. */
  readonly size: number;
  /** Of the .deb, lower-case hexadecimal. */
  readonly sha256: string;
}

/** A path from an index must stay below the archive it came from. */
const isPlainPath = (path: string): boolean =>
  path !== '' && !path.startsWith('/') && !path.split('/').some((part) => part === '..' || part === '');

function parsePackage(text: string): Package | undefined {
  const fields = parseStanza(text);
  const filename = fields.get('filename') ?? '';
  const sha256 = fields.get('sha256') ?? '';
  const size = Number(fields.get('size'));
  const version = fields.get('version') ?? '';
  if (!isPlainPath(filename) || !/^[0-9a-f]{64}$/.test(sha256) || !Number.isSafeInteger(size) || version === '') {
    return undefined;
  }
  return {
    name: fields.get('package') ?? '',
    version,
    architecture: fields.get('architecture') ?? '',
    depends: fields.get('depends') ?? '',
    preDepends: fields.get('pre-depends') ?? '',
    filename,
    size,
    sha256,
  };
}

/** All versions of the package `name` in an uncompressed index. */
export function findPackages(index: Buffer, name: string): Package[] {
  const found: Package[] = [];
  const key = `Package: ${name}\n`;
  for (let at = index.indexOf(key); at >= 0; at = index.indexOf(key, at + key.length)) {
    if (at > 0 && index[at - 1] !== 0x0a) continue;
    const before = index.lastIndexOf('\n\n', at);
    const end = index.indexOf('\n\n', at);
    const text = index.toString('utf8', before < 0 ? 0 : before + 2, end < 0 ? index.length : end);
    const entry = parsePackage(text);
    if (entry?.name === name) found.push(entry);
  }
  return found;
}

/** Names of the packages that provide the virtual package `name`, in the order of the index. */
export function findProviders(index: Buffer, name: string): string[] {
  const found: string[] = [];
  const key = '\nProvides:';
  for (let at = index.indexOf(key); at >= 0; at = index.indexOf(key, at + key.length)) {
    const lineEnd = index.indexOf(0x0a, at + 1);
    const line = index.toString('utf8', at + key.length, lineEnd < 0 ? index.length : lineEnd);
    if (!line.split(',').some((entry) => entry.trim().split(/[\s(:]/, 1)[0] === name)) continue;
    const before = index.lastIndexOf('\n\n', at);
    const end = index.indexOf('\n\n', at);
    const stanza = index.toString('utf8', before < 0 ? 0 : before + 2, end < 0 ? index.length : end);
    const provider = /^Package: (\S+)$/m.exec(stanza)?.[1];
    if (provider !== undefined) found.push(provider);
  }
  return found;
}

/** The newest of several versions; `undefined` of none. */
export function newest<T extends { readonly version: string }>(packages: readonly T[]): T | undefined {
  return packages.reduce<T | undefined>(
    (best, entry) => (best === undefined || compareVersions(entry.version, best.version) > 0 ? entry : best),
    undefined,
  );
}

/**
 * What a metapackage stands for: the one package, in one exact version, that it depends on. `undefined` for a package
 * that depends on nothing, on several packages, on a choice or on a range of versions.
 */
export function metapackageTarget(entry: Package): { name: string; version: string } | undefined {
  const match = /^([a-z0-9][a-z0-9+.-]+)(?::[a-z0-9]+)?\s*\(=\s*([^\s)]+)\)$/.exec(entry.depends.trim());
  return match === null ? undefined : { name: match[1]!, version: match[2]! };
}

/** The error for a package that no index has. */
export function unknownPackage(name: string, architecture: string, release: string): VirtsError {
  return new VirtsError(
    'not-found',
    `The archive has no package ${name} for ${architecture} in ${release}; name another mirror with --mirror URL.`,
    { name, architecture, release },
  );
}
