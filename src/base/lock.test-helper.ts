/** What the threads of a test do with a lock; `lock.test.ts` starts them. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLock } from './lock.ts';

export interface CountingJob {
  /** The lock in the first word, a count that only its owner may change in the second, how many threads are ready. */
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly self: number;
  readonly threads: number;
  readonly rounds: number;
}

/** Adds to the count without atomics, all threads at once; returns how often the lock was found to have another owner. */
function count({ words, self, threads, rounds }: CountingJob): number {
  const lock = createLock(words, self);
  let wrong = 0;
  Atomics.add(words, 2, 1);
  while (Atomics.load(words, 2) < threads);
  for (let i = 0; i < rounds; i++) {
    lock.acquire();
    if (lock.owner() !== self) wrong++;
    const before = words[1];
    // Now and then long enough for the others to fall asleep.
    for (let spin = i % 1000 === 0 ? 100_000 : i % 8; spin > 0; spin--) Atomics.load(words, 1);
    words[1] = before + 1;
    lock.release();
  }
  return wrong;
}

if (parentPort !== null) parentPort.postMessage(count(workerData as CountingJob));
