import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smallArena } from '../memory/arena.test-helper.ts';
import { createStructMemory } from './struct-memory.ts';
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

/** The timers of one machine as each of its threads has them, and which thread fired what. */
function threads(count: number, vcpus: number) {
  const clock = { time: 0, now: () => clock.time };
  const seen: string[] = [];
  const told: string[] = [];
  const { buffer } = smallArena();
  const made = Array.from({ length: count }, (_, thread) => {
    const { place } = createStructMemory(smallArena(buffer, thread));
    const timers = createTimers(clock, { place, vcpus, armed: (at, vcpu) => told.push(`${thread}: ${vcpu} at ${at}`) });
    const shared = ['a', 'b'].map((name) => timers.timer(() => seen.push(`${name}${thread}`)));
    const own = Array.from({ length: vcpus }, (_, vcpu) => timers.of(vcpu).timer(() => seen.push(`${vcpu}${thread}`)));
    return { timers, shared, own };
  });
  return { clock, seen, told, made };
}

test('a timer that one thread arms fires in whichever thread runs it, once', () => {
  const { clock, made, seen } = threads(3, 1);
  made[1].shared[0].arm(10);
  made[2].shared[1].arm(5);
  clock.time = 7;
  assert.equal(made[0].timers.run(), 1);
  assert.equal(made[1].timers.run(), 0);
  made[0].shared[1].arm(8);
  made[2].shared[1].cancel();
  clock.time = 20;
  assert.equal(made[2].timers.run(), 1);
  assert.equal(made[0].timers.run(), 0);
  assert.deepEqual(seen, ['b0', 'a2']);
});

test('a thread that makes its timers later finds the deadlines that there are', () => {
  const { buffer } = smallArena();
  const clock = { now: () => 100 };
  const first = createTimers(clock, { place: createStructMemory(smallArena(buffer)).place });
  first.timer(() => {}).arm(50);
  const { place } = createStructMemory(smallArena(buffer, 1));
  let fired = 0;
  const second = createTimers(clock, { place });
  second.timer(() => fired++);
  assert.equal(second.next(), 50);
  assert.equal(second.run(), 1);
  assert.equal(fired, 1);
  assert.equal(first.next(), Number.POSITIVE_INFINITY);
});

test('each vCPU has an earliest deadline of its own, and whoever is to wake earlier is told', () => {
  const { made, told } = threads(2, 2);
  made[0].own[1].arm(50);
  made[0].own[0].arm(70);
  made[1].shared[0].arm(60);
  made[1].own[1].arm(55);
  made[1].own[1].arm(52);
  made[0].own[1].arm(40);
  const { timers } = made[0];
  assert.deepEqual([timers.next(0), timers.next(1), timers.next()], [60, 40, 40]);
  assert.deepEqual(told, ['0: 1 at 50', '0: 0 at 70', '1: 0 at 60', '1: 1 at 52', '0: 1 at 40']);
  assert.equal(timers.run(60), 2);
  assert.deepEqual([timers.next(0), timers.next(1)], [70, Number.POSITIVE_INFINITY]);
});
