import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticksAt, ticksToNs } from './ticks.ts';

test('ticks and nanoseconds are exact inverses, also after months', () => {
  for (const hz of [1_193_182, 32_768]) {
    for (const base of [0, 1, hz - 1, 100 * 86_400 * hz]) {
      for (let i = 0; i < 2000; i++) {
        const tick = base + i * 7;
        const ns = ticksToNs(tick, hz);
        assert.equal(ticksAt(ns, hz), tick);
        assert.equal(ticksAt(ns - 1, hz), tick - 1);
      }
    }
  }
});

test('a second has exactly its ticks', () => {
  assert.equal(ticksAt(3e9, 1_193_182), 3 * 1_193_182);
  assert.equal(ticksAt(3e9 - 1, 1_193_182), 3 * 1_193_182 - 1);
  assert.equal(ticksAt(838, 1_193_182), 0);
  assert.equal(ticksAt(839, 1_193_182), 1);
});
