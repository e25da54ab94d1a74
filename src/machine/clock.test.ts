import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { smallArena } from '../memory/arena.test-helper.ts';
import { countedClock, realClock } from './clock.ts';
import { createStructMemory } from './struct-memory.ts';

test('real time starts at 0, in whole nanoseconds, and never steps back', () => {
  let host = 5_000.75;
  const clock = realClock(() => host);
  assert.equal(clock.now(), 0);
  host += 10.5;
  assert.equal(clock.now(), 10);
  host -= 8;
  assert.equal(clock.now(), 10);
  host += 20;
  assert.equal(clock.now(), 22);
});

test('a stopped real clock keeps its time and goes on from there', () => {
  let host = 0;
  const clock = realClock(() => host);
  host = 100;
  clock.stop();
  host = 1_000;
  clock.stop();
  assert.equal(clock.now(), 100);
  clock.continue();
  clock.continue();
  assert.equal(clock.now(), 100);
  host = 1_001;
  assert.equal(clock.now(), 101);
});

test('a resumed machine goes on from its saved time, earlier or later than the present one', () => {
  let host = 700;
  const clock = realClock(() => host);
  clock.set(1e12);
  host += 5;
  assert.equal(clock.now(), 1e12 + 5);
  clock.set(40);
  assert.equal(clock.now(), 40);
  clock.stop();
  clock.set(90);
  host += 50;
  assert.equal(clock.now(), 90);
  clock.continue();
  host += 1;
  assert.equal(clock.now(), 91);
});

test('threads that share a clock see one time, also after one of them stops, sets and continues it', () => {
  let host = 10_000;
  const { buffer } = smallArena();
  const clocks = [0, 1].map((thread) => {
    const clock = realClock(() => host, createStructMemory(smallArena(buffer, thread)).place);
    host += 100;
    return clock;
  });
  const times = () => clocks.map((clock) => clock.now());
  assert.deepEqual(times(), [200, 200]);
  clocks[1].stop();
  host += 1000;
  assert.deepEqual(times(), [200, 200]);
  clocks[0].continue();
  host += 7;
  assert.deepEqual(times(), [207, 207]);
  clocks[0].set(50);
  assert.deepEqual(times(), [50, 50], 'a restore goes back');
  host -= 20;
  assert.deepEqual(times(), [50, 50]);
});

test('counted time follows from instructions and idle skips only', () => {
  const clock = countedClock({ nsPerInstruction: 0.25 });
  clock.advanceInstructions(7);
  assert.equal(clock.now(), 1);
  assert.equal(clock.exact(), 1.75);
  clock.skipTo(1);
  assert.equal(clock.exact(), 1.75);
  clock.skipTo(1_000);
  clock.advanceInstructions(2);
  assert.equal(clock.exact(), 1_000.5);
});

test('counted time does not depend on how the instructions were counted', () => {
  const [fine, coarse] = [countedClock({ nsPerInstruction: 0.375 }), countedClock({ nsPerInstruction: 0.375 })];
  for (let i = 0; i < 100_000; i++) fine.advanceInstructions(3);
  coarse.advanceInstructions(300_000);
  assert.equal(fine.exact(), coarse.exact());
});

test('a counted clock can read the counter of the processor, from whatever it stands at', () => {
  let retired = 5_000;
  const clock = countedClock({ nsPerInstruction: 10, retired: () => retired });
  assert.equal(clock.now(), 0);
  retired += 3;
  assert.equal(clock.now(), 30);
  clock.set(12.5);
  retired += 1;
  assert.equal(clock.exact(), 22.5);
  clock.stop();
  retired += 100;
  assert.equal(clock.now(), 22);
  clock.continue();
  retired += 1;
  assert.equal(clock.exact(), 32.5);
});

test('rates that would round are refused', () => {
  for (const nsPerInstruction of [0, -1, 0.1, Number.NaN]) {
    assert.throws(() => countedClock({ nsPerInstruction }), VirtsError);
  }
});
