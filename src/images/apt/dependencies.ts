/** What packages need: Depends and Pre-Depends (Debian Policy 7.1, 7.2), followed to the end. */
import type { VirtsError } from '../../base/errors.ts';

/** The part of a package that says what it needs. */
export interface Dependent {
  readonly name: string;
  readonly depends: string;
  readonly preDepends: string;
}

/** Where packages are looked up. */
export interface Lookup<T extends Dependent> {
  /** The newest version of a real package. */
  find(name: string): T | undefined;
  /** Names of the packages that provide a virtual one, best first. */
  providers(name: string): readonly string[];
  /** The error for a package that there is not. */
  unknown(name: string): VirtsError;
}

/**
 * Names in a dependency field: one list of alternatives for each thing needed. Versions and architectures are left out:
 * within one release the newest version of each package fits all others.
 */
export function parseDependencies(field: string): string[][] {
  return field
    .split(',')
    .map((group) =>
      group
        .split('|')
        .map((alternative) => /^[a-z0-9][a-z0-9+.-]*/.exec(alternative.trim())?.[0] ?? '')
        .filter((name) => name !== ''),
    )
    .filter((group) => group.length > 0);
}

/** The package for a list of alternatives: one already taken, else the first that exists, else the first that is provided. */
function choose<T extends Dependent>(
  alternatives: readonly string[],
  taken: ReadonlyMap<string, T>,
  lookup: Lookup<T>,
): T {
  for (const name of alternatives) if (taken.has(name)) return taken.get(name)!;
  for (const name of alternatives) {
    const real = lookup.find(name);
    if (real !== undefined) return real;
  }
  for (const name of alternatives) {
    const providers = lookup.providers(name);
    const provider = providers.find((entry) => taken.has(entry)) ?? providers[0];
    const real = provider === undefined ? undefined : lookup.find(provider);
    if (real !== undefined) return real;
  }
  throw lookup.unknown(alternatives[0]!);
}

/**
 * `names` and everything they need, sorted by name.
 * @param without packages to do without although something needs them, with what only they need.
 * @throws the lookup's error for a package that there is not.
 */
export function dependencyClosure<T extends Dependent>(
  names: readonly string[],
  without: ReadonlySet<string>,
  lookup: Lookup<T>,
): T[] {
  const taken = new Map<string, T>();
  const waiting: string[][] = names.map((name) => [name]);
  for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
    if (group.some((name) => without.has(name))) continue;
    const chosen = choose(group, taken, lookup);
    if (taken.has(chosen.name)) continue;
    taken.set(chosen.name, chosen);
    waiting.push(...parseDependencies(chosen.preDepends), ...parseDependencies(chosen.depends));
  }
  return [...taken.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
