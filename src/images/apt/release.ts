/** The Release file of a suite: what it vouches for, and until when. */
import { VirtsError } from '../../base/errors.ts';
import { parseStanza } from './deb822.ts';
import type { Expected } from './download.ts';

export interface Release {
  readonly suite: string;
  readonly codename: string;
  /** Whether index files are also found under their SHA-256, where a mirror's update cannot change them. */
  readonly byHash: boolean;
  /** Milliseconds since 1970; `undefined` where the file does not say. */
  readonly date: number | undefined;
  readonly validUntil: number | undefined;
  /** By path, relative to the suite's directory. */
  readonly files: ReadonlyMap<string, Expected>;
}

/** How far (ms) a mirror's clock may be ahead of this host's. */
const CLOCK_SKEW = 3_600_000;

function time(value: string | undefined): number | undefined {
  const result = value === undefined ? Number.NaN : Date.parse(value);
  return Number.isNaN(result) ? undefined : result;
}

/** Parses a Release file, whose signature has been checked. @throws VirtsError `untrusted` if it names no SHA-256. */
export function parseRelease(text: string): Release {
  const fields = parseStanza(text.replaceAll('\r\n', '\n'));
  const files = new Map<string, Expected>();
  for (const line of (fields.get('sha256') ?? '').split('\n')) {
    const match = /^\s*([0-9a-f]{64})\s+(\d+)\s+(\S+)$/.exec(line);
    if (match !== null) files.set(match[3]!, { sha256: match[1]!, size: Number(match[2]) });
  }
  if (files.size === 0) throw new VirtsError('untrusted', 'The mirror gave a Release file without SHA-256 checksums.');
  return {
    suite: fields.get('suite') ?? '',
    codename: fields.get('codename') ?? '',
    byHash: fields.get('acquire-by-hash') === 'yes',
    date: time(fields.get('date')),
    validUntil: time(fields.get('valid-until')),
    files,
  };
}

/**
 * Checks that a Release file is the one that was asked for and neither expired nor from the future: an old file with a
 * good signature would hide security updates, and one key signs many suites.
 * @throws VirtsError `untrusted`.
 */
export function checkRelease(release: Release, suite: string, checkValidUntil: boolean, now: number): void {
  const context = { suite };
  if (release.codename !== suite && release.suite !== suite) {
    throw new VirtsError(
      'untrusted',
      `The mirror gave the release '${release.codename}' where '${suite}' was asked for; name another with --mirror URL.`,
      context,
    );
  }
  if (release.date !== undefined && release.date > now + CLOCK_SKEW) {
    throw new VirtsError(
      'untrusted',
      `The Release file of ${suite} is of ${new Date(release.date).toISOString()}, which is in the future: check this host's clock.`,
      context,
    );
  }
  if (checkValidUntil && release.validUntil !== undefined && release.validUntil < now) {
    throw new VirtsError(
      'untrusted',
      `The Release file of ${suite} expired at ${new Date(release.validUntil).toISOString()}: the mirror is out of date, or this host's clock is wrong.`,
      context,
    );
  }
}
