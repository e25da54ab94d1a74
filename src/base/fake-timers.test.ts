import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeTimers } from './fake-timers.ts';

test('timers fire once, in order of their deadlines, at their time', () => {
  const timers = fakeTimers();
  const seen: string[] = [];
  const a = timers.timer(() => seen.push(`a${timers.now()}`));
  const b = timers.timer(() => seen.push(`b${timers.now()}`));
  a.arm(30);
  b.arm(20);
  timers.advance(10);
  assert.deepEqual(seen, []);
  assert.equal(timers.armed, 2);
  timers.advance(90);
  assert.deepEqual(seen, ['b20', 'a30']);
  assert.equal(timers.now(), 100);
  assert.equal(timers.armed, 0);
});

test('arming replaces the deadline, the past fires at once, cancel disarms', () => {
  const timers = fakeTimers();
  const seen: number[] = [];
  const timer = timers.timer(() => seen.push(timers.now()));
  timer.arm(10);
  timer.arm(50);
  timers.advance(40);
  assert.deepEqual(seen, []);
  timer.arm(5);
  timers.advance(0);
  assert.deepEqual(seen, [40]);
  timer.arm(60);
  timer.cancel();
  timers.advance(100);
  assert.deepEqual(seen, [40]);
});

test('a timer may re-arm itself, but not for ever at one instant', () => {
  const timers = fakeTimers();
  let fired = 0;
  const periodic = timers.timer(() => {
    fired++;
    periodic.arm(timers.now() + 10);
  });
  periodic.arm(10);
  timers.advance(100);
  assert.equal(fired, 10);
  const stuck = timers.timer(() => stuck.arm(0));
  stuck.arm(0);
  assert.throws(() => timers.advance(0), /re-arming/);
});
