/** Downloads of many packages as one. */
import type { Archive, Candidate } from './archive.ts';
import type { Progress } from './progress.ts';

/** Transfers side by side: enough to hide each one's wait for its answer. */
const AT_ONCE = 4;

/**
 * Downloads packages that the cache does not have; returns their paths in the order of `candidates`. When one fails, no further ones
 * begin. @throws VirtsError as `Archive.fetch` does.
 */
export async function fetchAll(
  archive: Archive,
  candidates: readonly Candidate[],
  label: string,
  progress: Progress,
): Promise<string[]> {
  const total = candidates.reduce((sum, { size }) => sum + size, 0);
  const step = progress.step(label, total);
  const paths: string[] = [];
  let next = 0;
  let failed = false;

  async function fetchOne(index: number): Promise<void> {
    const candidate = candidates[index]!;
    let counted = 0;
    const count = (bytes: number): void => {
      counted += bytes;
      step.advance(bytes);
    };
    paths[index] = await archive.fetch(candidate, {
      step: () => ({ advance: count, end: () => {} }),
      warn: progress.warn,
    });
    // What was in the cache is there too.
    count(candidate.size - counted);
  }

  async function work(): Promise<void> {
    try {
      while (next < candidates.length && !failed) await fetchOne(next++);
    } catch (error) {
      failed = true;
      throw error;
    }
  }

  try {
    // All have come to their end when the first failure is told.
    const outcomes = await Promise.allSettled(Array.from({ length: AT_ONCE }, work));
    const rejected = outcomes.find((outcome) => outcome.status === 'rejected');
    if (rejected !== undefined) throw rejected.reason;
    return paths;
  } finally {
    step.end();
  }
}
