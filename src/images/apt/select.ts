/** Which archives serve a Debian suite: from the host's package sources, or from a mirror that the user names. */
import { VirtsError } from '../../base/errors.ts';
import type { Source } from './sources.ts';

/** A part of a release. Without `required`, the guest can be made from the other parts if this one does not answer. */
export interface Pocket {
  readonly suite: string;
  readonly required: boolean;
  /** Places that may serve it, best first. */
  readonly sources: readonly Source[];
}

const RELEASES =
  'stretch|buster|bullseye|bookworm|trixie|forky|duke|oldoldstable|oldstable|stable|testing|unstable|sid';
const DEBIAN_SUITE = new RegExp(`^(?:${RELEASES})(-updates|-backports|-proposed-updates|-security|/updates)?$`);

const isSecurity = (suite: string): boolean => suite.endsWith('-security') || suite.endsWith('/updates');

function isSupported(uri: string): boolean {
  return /^(?:https?|file|copy):/.test(uri);
}

/** Moves sources of other releases on the same archives to `suite`. */
function onto(suite: string, sources: readonly Source[]): Source[] {
  return sources.map((entry) => (entry.suite === suite ? entry : { ...entry, suite, components: ['main'] }));
}

function unique(sources: readonly Source[]): Source[] {
  return sources.filter((entry, at) => sources.findIndex((other) => other.uri === entry.uri) === at);
}

/** Where an archive's security updates usually stand: beside it, with `-security` after its last path segment. */
function securityBeside(main: readonly Source[]): Source[] {
  return main.map((entry) => ({ ...entry, uri: `${entry.uri}-security` }));
}

/**
 * The pockets of `release` (a code name such as `bookworm`): the release itself, its updates and its security updates.
 * A host that runs another Debian release serves too, because one archive holds them all.
 * @throws VirtsError `usage` when no source is a Debian archive.
 */
export function selectPockets(sources: readonly Source[], release: string): Pocket[] {
  const usable = sources.filter(
    (entry) => isSupported(entry.uri) && entry.components.includes('main') && DEBIAN_SUITE.test(entry.suite),
  );
  const exactFirst = (suite: string, entries: readonly Source[]): Source[] =>
    unique(
      onto(suite, [
        ...entries.filter((entry) => entry.suite === suite),
        ...entries.filter((entry) => entry.suite !== suite),
      ]),
    );
  const main = exactFirst(
    release,
    usable.filter((entry) => !isSecurity(entry.suite)),
  );
  if (main.length === 0) {
    throw new VirtsError(
      'usage',
      "This host's APT configuration names no Debian archive; name one with --mirror URL, the address of the directory that holds 'dists'.",
      { release },
    );
  }
  const security = exactFirst(
    `${release}-security`,
    usable.filter((entry) => isSecurity(entry.suite)),
  );
  return pockets(release, main, security.length > 0 ? security : securityBeside(main));
}

/** The pockets of `release` on the mirror at `url`. Its keys are the host's Debian keyring. */
export function mirrorPockets(url: string, release: string): Pocket[] {
  if (!URL.canParse(url) || !isSupported(url)) {
    throw new VirtsError('usage', `--mirror takes an http:, https: or file: address, not '${url}'.`, { url });
  }
  const main: Source = {
    uri: url.replace(/\/+$/, ''),
    suite: release,
    components: ['main'],
    checkValidUntil: true,
  };
  return pockets(release, [main], securityBeside([main]));
}

function pockets(release: string, main: readonly Source[], security: readonly Source[]): Pocket[] {
  return [
    { suite: release, required: true, sources: main },
    { suite: `${release}-updates`, required: false, sources: onto(`${release}-updates`, main) },
    { suite: `${release}-security`, required: false, sources: onto(`${release}-security`, security) },
  ];
}
