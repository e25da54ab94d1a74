/** Order among asynchronous operations of one thread. */

/** Runs pieces of work one after another, in the order in which they were given. */
export type Lock = <T>(work: () => Promise<T>) => Promise<T>;

export function createLock(): Lock {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work, work);
    last = result.catch(() => {});
    return result;
  };
}

/** Numbered things, each used by one at a time. */
export interface Claims {
  /** Resolves with what gives them back when nobody else has any of `[first, first + count)`. Later claims wait for earlier ones. */
  take(first: number, count: number): Promise<() => void>;
}

export function createClaims(): Claims {
  const taken = new Set<{ readonly first: number; readonly end: number; readonly done: Promise<void> }>();
  return {
    async take(first, count) {
      const end = first + count;
      const { promise, resolve } = Promise.withResolvers<void>();
      const before = [...taken].filter((other) => other.first < end && first < other.end).map(({ done }) => done);
      const claim = { first, end, done: promise };
      taken.add(claim);
      if (before.length > 0) await Promise.all(before);
      return () => {
        taken.delete(claim);
        resolve();
      };
    },
  };
}
