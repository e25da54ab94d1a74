import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { VirtsError } from './errors.ts';
import type { CountingJob } from './lock.test-helper.ts';
import { createLock, locked } from './lock.ts';

const sharedWords = (count: number) => new Int32Array(new SharedArrayBuffer(4 * count));
const isInternal = (error: unknown) => error instanceof VirtsError && error.kind === 'internal';

function run(job: CountingJob): Promise<number> {
  const worker = new Worker(new URL('lock.test-helper.ts', import.meta.url), { workerData: job });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

for (const threads of [2, 4]) {
  test(`${threads} threads never hold a lock at once, and all of them get it`, async () => {
    const words = sharedWords(3);
    const rounds = 40_000;
    const jobs = Array.from({ length: threads }, (_, self) => run({ words, self, threads, rounds }));
    assert.deepEqual(await Promise.all(jobs), new Array(threads).fill(0));
    assert.equal(words[1], threads * rounds);
    assert.equal(words[0], 0, 'nobody holds it, nobody waits');
  });
}

for (const [kind, words] of [
  ['shared', sharedWords(1)],
  ['other', new Int32Array(1)],
] as const) {
  test(`over ${kind} memory a lock knows its owner and refuses what would hang or corrupt`, () => {
    const lock = createLock(words, 7);
    assert.equal(lock.owner(), undefined);
    assert.throws(() => lock.release(), isInternal);
    lock.acquire();
    assert.equal(lock.owner(), 7);
    assert.throws(() => lock.acquire(), isInternal);
    assert.equal(lock.owner(), 7);
    lock.release();
    assert.equal(lock.owner(), undefined);
    assert.throws(() => lock.release(), isInternal);
  });
}

test('another thread cannot give a lock back', () => {
  const words = sharedWords(1);
  const [mine, theirs] = [createLock(words, 0), createLock(words, 1)];
  mine.acquire();
  assert.equal(theirs.owner(), 0);
  assert.throws(() => theirs.release(), isInternal);
  mine.release();
  theirs.acquire();
  assert.equal(mine.owner(), 1);
});

test('a thread that finds the lock held sleeps as it was told to, as often as it takes', () => {
  const words = sharedWords(1);
  const theirs = createLock(words, 1);
  const slept: number[] = [];
  const mine = createLock(words, 0, (word, value) => {
    assert.equal(value, word[0], 'sleeps only while nothing has changed');
    slept.push(value);
    if (slept.length === 3) theirs.release();
  });
  theirs.acquire();
  mine.acquire();
  assert.equal(slept.length, 3);
  assert.equal(theirs.owner(), 0);
  mine.release();
  assert.equal(words[0], 0);
});

test('work that throws leaves the lock free', () => {
  const lock = createLock(sharedWords(1), 0);
  assert.throws(() => {
    locked(lock, () => {
      throw new RangeError('from the work');
    });
  }, RangeError);
  assert.equal(
    locked(lock, () => lock.owner()),
    0,
  );
  assert.equal(lock.owner(), undefined);
});
