/** Failures of the host's files while something is copied, as sentences. */
import { VirtsError } from '../../../base/errors.ts';
import { fileError } from '../../../images/apt/cache.ts';

export function copyError(error: unknown, path: string, doing: 'read' | 'written'): VirtsError {
  const known = fileError(error, path, doing);
  if (known.kind !== 'no-space' || known === error) return known;
  return new VirtsError(
    'no-space',
    `The disk is full: there is no room for ${path}; free some space.`,
    { path },
    error,
  );
}
