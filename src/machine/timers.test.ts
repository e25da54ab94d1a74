import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTimers } from './timers.ts';

function rig() {
  const clock = {
    time: 0,
    now: () => clock.time,
  };
  const seen: string[] = [];
  const timers = createTimers(clock);
  const timer = (name: string) => timers.timer(() => seen.push(name));
  return { clock, timers, timer, seen };
}

test('what is due fires in order of deadlines, what is not waits', () => {
  const { clock, timers, timer, seen } = rig();
  assert.equal(timers.next(), Number.POSITIVE_INFINITY);
  timer('c').arm(30);
  timer('a').arm(10);
  timer('b').arm(20);
  assert.equal(timers.next(), 10);
  clock.time = 20;
  assert.equal(timers.run(), 2);
  assert.deepEqual(seen, ['a', 'b']);
  assert.equal(timers.next(), 30);
  assert.equal(timers.run(29), 0);
  clock.time = 30;
  assert.equal(timers.run(30), 1);
  assert.equal(timers.next(), Number.POSITIVE_INFINITY);
});

test('equal deadlines fire in the order in which the timers were made, however they were armed', () => {
  const { timers, timer, seen } = rig();
  const made = ['a', 'b', 'c'].map(timer);
  for (const i of [2, 0, 1]) made[i].arm(5);
  timers.run(5);
  assert.deepEqual(seen, ['a', 'b', 'c']);
});

test('arming again replaces the deadline, cancelling removes it', () => {
  const { timers, timer, seen } = rig();
  const [a, b] = [timer('a'), timer('b')];
  a.arm(10);
  b.arm(50);
  a.arm(60);
  assert.equal(timers.next(), 50);
  b.cancel();
  assert.equal(timers.next(), 60);
  a.arm(40);
  assert.equal(timers.next(), 40);
  a.cancel();
  a.cancel();
  timers.run(1000);
  assert.deepEqual(seen, []);
});

test('a timer that arms itself for the past fires once a run', () => {
  const { clock, timers } = rig();
  let fired = 0;
  const stuck = timers.timer(() => {
    fired++;
    stuck.arm(0);
  });
  stuck.arm(0);
  clock.time = 100;
  assert.equal(timers.run(), 1);
  assert.equal(timers.next(), 0);
  assert.equal(timers.run(), 1);
  assert.equal(fired, 2);
});

test('firing may arm, move and cancel other timers of the same run', () => {
  const { timers, timer, seen } = rig();
  const late = timer('late');
  const cancelled = timer('cancelled');
  const moved = timer('moved');
  const first = timers.timer(() => {
    seen.push('first');
    cancelled.cancel();
    moved.arm(1000);
    late.arm(7);
  });
  first.arm(1);
  cancelled.arm(2);
  moved.arm(3);
  timers.run(10);
  assert.deepEqual(seen, ['first', 'late']);
  assert.equal(timers.next(), 1000);
});

test('a deadline that is no number counts as none', () => {
  const { timers, timer } = rig();
  timer('a').arm(Number.NaN);
  timer('b').arm(9);
  assert.equal(timers.next(), 9);
  assert.equal(timers.run(10), 1);
});
