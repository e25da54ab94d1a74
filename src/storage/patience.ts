/**
 * Whether to do at once, in a thread that serves others too, what may have to wait: to hand it to another thread takes many times as
 * long as it usually does. When it waited, that way is closed for a multiple of the time: so the others lose a small part of theirs at most.
 */

export interface Patience {
  /** Whether to do it at once. */
  may(): boolean;
  /** Does `work`, which handles `bytes` bytes. */
  timed<T>(work: () => T, bytes: number): T;
}

/** Milliseconds that count as no wait, and those for each byte. */
const USUAL_MS = 4;
const USUAL_MS_PER_BYTE = 1e-6;
/** How many times as long as it waited it is not tried again. */
const PAUSE = 20;

/** @param now milliseconds from any origin. */
export function createPatience(now: () => number): Patience {
  let closedUntil = Number.NEGATIVE_INFINITY;
  return {
    may: () => now() >= closedUntil,
    timed(work, bytes) {
      const started = now();
      try {
        return work();
      } finally {
        const end = now();
        if (end - started > USUAL_MS + bytes * USUAL_MS_PER_BYTE) closedUntil = end + PAUSE * (end - started);
      }
    },
  };
}
