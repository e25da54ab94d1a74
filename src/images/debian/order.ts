/** In which order packages are unpacked. */

import { parseDependencies } from '../apt/dependencies.ts';
import type { Package } from '../apt/packages.ts';

/**
 * What a package needs before it is unpacked comes before it (Debian Policy 7.2), as far as that is possible; otherwise the order
 * stays as it is.
 */
export function unpackOrder<T extends Pick<Package, 'name' | 'preDepends'>>(packages: readonly T[]): T[] {
  const byName = new Map(packages.map((entry) => [entry.name, entry]));
  const ordered = new Set<T>();
  const visiting = new Set<T>();
  function visit(entry: T): void {
    if (ordered.has(entry) || visiting.has(entry)) return;
    visiting.add(entry);
    for (const alternatives of parseDependencies(entry.preDepends)) {
      const need = alternatives.map((name) => byName.get(name)).find((found) => found !== undefined);
      if (need !== undefined) visit(need);
    }
    ordered.add(entry);
  }
  packages.forEach(visit);
  return [...ordered];
}
