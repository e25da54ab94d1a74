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
