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

/** A Packages index, for looking packages up by their names. */
export interface PackageIndex {
  /** All versions of a package. */
  find(name: string): readonly Package[];
  /** Names of the packages that provide a virtual one, in the order of the index. */
  providers(name: string): readonly string[];
}

/** Calls `take` with the value of each field of that name, and where in the index it is. */
function eachField(bytes: Buffer, field: string, take: (value: string, at: number) => void): void {
  const key = `${field}: `;
  for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(`\n${key}`, at)) {
    // Only the first search may have found what is not at the beginning of a line.
    if (at > 0 && bytes[at] === 0x0a) at++;
    if (at > 0 && bytes[at - 1] !== 0x0a) continue;
    const from = at + key.length;
    const lineEnd = bytes.indexOf(0x0a, from);
    take(bytes.toString('utf8', from, lineEnd < 0 ? bytes.length : lineEnd), from);
  }
}

/** Reads where things are in an uncompressed index; the rest is read when it is asked for. */
export function openIndex(bytes: Buffer): PackageIndex {
  const places = new Map<string, number[]>();
  const starts: number[] = [];
  const names: string[] = [];
  eachField(bytes, 'Package', (name, at) => {
    starts.push(at);
    names.push(name);
    const known = places.get(name);
    if (known === undefined) places.set(name, [at]);
    else known.push(at);
  });
  const provided = new Map<string, string[]>();
  let stanza = 0;
  eachField(bytes, 'Provides', (value, at) => {
    while (stanza + 1 < starts.length && starts[stanza + 1]! < at) stanza++;
    for (const entry of value.split(',')) {
      const name = entry.trim().split(/[\s(:]/, 1)[0]!;
      const known = provided.get(name);
      if (known === undefined) provided.set(name, [names[stanza]!]);
      else known.push(names[stanza]!);
    }
  });

  function read(at: number): Package | undefined {
    const before = bytes.lastIndexOf('\n\n', at);
    const end = bytes.indexOf('\n\n', at);
    return parsePackage(bytes.toString('utf8', before < 0 ? 0 : before + 2, end < 0 ? bytes.length : end));
  }
  return {
    find: (name) => (places.get(name) ?? []).map(read).filter((entry) => entry?.name === name) as Package[],
    providers: (name) => provided.get(name) ?? [],
  };
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
