/** The host's package sources: sources.list(5) in its one-line form and in deb822 form. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VirtsError } from '../../base/errors.ts';
import { parseStanzas, words } from './deb822.ts';

/** What vouches for a source: files, a key block in the source itself, or fingerprints of trusted keys. */
export interface SignedBy {
  /** Absolute paths of keyrings. */
  readonly files: readonly string[];
  /** An ASCII-armoured public key block. */
  readonly armored?: string;
  /** Upper-case hexadecimal. */
  readonly fingerprints: readonly string[];
}

/** One archive and suite. */
export interface Source {
  /** The archive's base, without a slash at the end. */
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Absent: the keys that the host trusts for every source. */
  readonly signedBy?: SignedBy;
  /** `false` where the source says that an expired Release file is no fault. */
  readonly checkValidUntil: boolean;
}

const KEY_BLOCK = '-----BEGIN PGP PUBLIC KEY BLOCK-----';

/** Reads a `Signed-By` value. */
export function parseSignedBy(value: string): SignedBy {
  if (value.includes(KEY_BLOCK)) {
    const lines = value.trim().split('\n');
    // In deb822 an empty line is written as a single dot.
    return { files: [], fingerprints: [], armored: lines.map((line) => (line.trim() === '.' ? '' : line)).join('\n') };
  }
  const entries = value.split(/[\s,]+/).filter((entry) => entry !== '');
  return {
    files: entries.filter((entry) => entry.startsWith('/')),
    fingerprints: entries.filter((entry) => /^[0-9A-Fa-f]{16,}!?$/.test(entry)).map((entry) => entry.toUpperCase()),
  };
}

const withoutSlash = (uri: string): string => uri.replace(/\/+$/, '');

const isNo = (value: string | undefined): boolean => /^(no|false|0|off|without|disable)$/i.test(value ?? '');

/** Parses the one-line form: `deb [option=value …] URI suite component…`. Source packages and flat archives are left out. */
export function parseOneLine(text: string): Source[] {
  const sources: Source[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s*)?(.*)$/.exec(line);
    if (match === null) continue;
    const [uri, suite, ...components] = words(match[2]);
    if (uri === undefined || suite === undefined || suite.endsWith('/')) continue;
    const options = new Map<string, string>();
    for (const option of words(match[1])) {
      const equals = option.indexOf('=');
      if (equals > 0) options.set(option.slice(0, equals).toLowerCase(), option.slice(equals + 1));
    }
    sources.push(source(uri, suite, components, options.get('signed-by'), options.get('check-valid-until')));
  }
  return sources;
}

/** Parses the deb822 form: one stanza gives every combination of its URIs and suites. */
export function parseSourcesFile(text: string): Source[] {
  const sources: Source[] = [];
  for (const stanza of parseStanzas(text)) {
    if (!words(stanza.get('types')).includes('deb') || isNo(stanza.get('enabled'))) continue;
    const components = words(stanza.get('components'));
    for (const suite of words(stanza.get('suites'))) {
      if (suite.endsWith('/')) continue;
      for (const uri of words(stanza.get('uris'))) {
        sources.push(source(uri, suite, components, stanza.get('signed-by'), stanza.get('check-valid-until')));
      }
    }
  }
  return sources;
}

function source(
  uri: string,
  suite: string,
  components: readonly string[],
  signedBy: string | undefined,
  checkValidUntil: string | undefined,
): Source {
  const common = { uri: withoutSlash(uri), suite, components, checkValidUntil: !isNo(checkValidUntil) };
  return signedBy === undefined || signedBy === '' ? common : { ...common, signedBy: parseSignedBy(signedBy) };
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return '';
    throw new VirtsError('io', `The APT configuration ${path} cannot be read.`, { path }, error);
  }
}

/** Whether a file system error says that the file is not there. */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Reads sources.list and sources.list.d below `directory` (normally `/etc/apt`), in APT's order. Empty without APT. */
export async function readSources(directory: string): Promise<Source[]> {
  const sources = parseOneLine(await readIfThere(join(directory, 'sources.list')));
  const parts = join(directory, 'sources.list.d');
  const names = await readdir(parts).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw new VirtsError('io', `The APT configuration ${parts} cannot be read.`, { path: parts }, error);
  });
  for (const name of names.toSorted()) {
    if (name.endsWith('.list')) sources.push(...parseOneLine(await readIfThere(join(parts, name))));
    else if (name.endsWith('.sources')) sources.push(...parseSourcesFile(await readIfThere(join(parts, name))));
  }
  return sources;
}
