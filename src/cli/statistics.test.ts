import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statisticsLines } from './statistics.ts';

test('figures have names that need no knowledge of the source, and no needless decimals', () => {
  const lines = statisticsLines({ flushes: 2, 'compile time (ms)': 1.75, 'instructions retired': 5_000_000 }, 2);
  assert.deepEqual(lines, [
    'times the cache of blocks was emptied: 2',
    'compile time (ms): 2',
    'instructions retired: 5000000',
    'run time (s): 2.0',
    'million instructions a second: 2.5',
  ]);
});

test('a machine without figures, or that ended at once, has no speed', () => {
  assert.deepEqual(statisticsLines({}, 1), ['run time (s): 1.0']);
  assert.deepEqual(statisticsLines({ 'instructions retired': 1 }, 0), ['instructions retired: 1', 'run time (s): 0.0']);
});

test('figures that are read together are on one line, where the first of them is', () => {
  const figures = {
    regions: 12,
    'exits: lookup': 3,
    'instructions interpreted': 25,
    'regions dropped': 2,
    'instructions in regions': 75,
    'exits: poll': 1,
    'code bytes': 4096,
    'TLB misses': 7,
    'something new': 9,
  };
  assert.deepEqual(statisticsLines(figures, 1), [
    'regions: made 12, dropped 2',
    'exits from compiled code: lookup 3 (75.0 %), poll 1 (25.0 %)',
    'instructions by tier: interpreted 25 (25.0 %), translated 75 (75.0 %)',
    'code bytes: 4096',
    'TLB misses: 7',
    'something new: 9',
    'run time (s): 1.0',
  ]);
});

test('parts of nothing have no shares', () => {
  const figures = { 'instructions interpreted': 0, 'instructions in regions': 0 };
  assert.equal(statisticsLines(figures, 1)[0], 'instructions by tier: interpreted 0, translated 0');
});
