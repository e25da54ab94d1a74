import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inThread } from '../engine/translated/thread.test-helper.ts';
import { open, type Shared, type StressReport, share } from './threads.test-helper.ts';

const HELPER = new URL('./threads.test-helper.ts', import.meta.url);

/** What each thread of a scenario returns. */
const play = (scenario: string, count: number): Promise<unknown[]> => {
  const shared = share(count);
  return Promise.all(Array.from({ length: count }, (_, self) => inThread(HELPER, 'play', shared, self, scenario)));
};

test('who is exclusive waits until another thread has come to its poll, and that one until the work is done', async () => {
  assert.deepEqual(await play('exclusive', 2), [1, { goesOn: true, seen: 2 }]);
});

test('one who is aside keeps nobody waiting, and is within or back only when the others are done', async () => {
  assert.deepEqual(await play('aside', 2), [
    [0, 1],
    [1, 2],
  ]);
});

test('while one is exclusive, nobody enters, and nobody else is exclusive', async () => {
  assert.deepEqual(await play('entering', 3), [undefined, 1, 1]);
});

test('who holds the lock can be exclusive while another waits for the lock', async () => {
  assert.deepEqual(await play('lockHolder', 2), [undefined, 1]);
});

test('who holds the others waits until they are outside, not merely parked, and nobody enters meanwhile', async () => {
  const [first, second] = await play('held', 3);
  assert.equal(first, 1);
  assert.deepEqual(second, { goesOn: false, enters: false, entersLater: true });
});

test('threads that are outside keep nobody waiting', () => {
  const { threads } = open(share(4), 2);
  let done = 0;
  threads.exclusively(() => done++);
  threads.whileHeld(() => done++);
  assert.equal(threads.enter(), true);
  threads.exclusively(() => threads.exclusively(() => done++));
  assert.equal(threads.pass(), true);
  assert.equal(done, 3);
});

test('what runs alone has the lock and may use what the lock guards', () => {
  const { threads } = open(share(2), 1);
  const { lock } = threads;
  threads.enter();
  threads.alone(() => {
    assert.equal(lock.owner(), 1);
    lock.acquire();
    lock.release();
    assert.equal(lock.owner(), 1, 'still');
  });
  assert.equal(lock.owner(), undefined);
  assert.throws(() =>
    threads.alone(() => {
      throw new Error('a defect');
    }),
  );
  assert.equal(lock.owner(), undefined);
  lock.acquire();
  assert.equal(lock.owner(), 1, 'outside of `alone` it is a lock');
  lock.release();
  threads.exclusively(() => {});
});

/** Two threads' sides in this one, which must not wait for each other. */
function pair() {
  const shared = share(2);
  return [open(shared, 0), open(shared, 1)] as const;
}

test('the first end counts: nobody goes on or enters until the machine is revived, and the others hear of both', () => {
  const [{ threads: first }, { threads: second, words, own }] = pair();
  assert.equal(second.enter(), true);
  assert.equal(first.ended(), 0);
  const bell = words[own('bell')];
  first.finish(5);
  assert.deepEqual([words[own('poll')], words[own('bell')]], [1, bell + 1]);
  second.finish(6);
  assert.deepEqual([first.ended(), second.ended()], [5, 5]);
  assert.equal(second.pass(), false);
  second.leave();
  assert.deepEqual([first.enter(), second.enter()], [false, false]);
  first.revive();
  assert.equal(words[own('bell')], bell + 2);
  assert.equal(second.ended(), 0);
  assert.deepEqual([first.enter(), second.enter()], [true, true]);
});

test('every thread hears once that the state was replaced', () => {
  const [{ threads: first }, { threads: second }] = pair();
  assert.deepEqual([first.wasReplaced(), second.wasReplaced()], [false, false]);
  first.stateReplaced();
  first.stateReplaced();
  assert.deepEqual([first.wasReplaced(), second.wasReplaced()], [true, true]);
  assert.deepEqual([first.wasReplaced(), second.wasReplaced()], [false, false]);
});

for (const [count, rounds] of [
  [2, 3000],
  [4, 800],
] as const) {
  test(`${count} threads at random: nobody is where it must not be, no count and no wake-up is lost`, async () => {
    const shared: Shared = share(count);
    const reports = (await Promise.all(
      Array.from({ length: count }, (_, self) => inThread(HELPER, 'stress', shared, self, rounds, 20)),
    )) as StressReport[];
    assert.deepEqual(
      reports.flatMap(({ wrong }) => wrong),
      [],
    );
    assert.equal(
      shared.words[3],
      reports.reduce((sum, { counted }) => sum + counted, 0),
    );
  });
}
