import assert from 'node:assert/strict';
import { test } from 'node:test';
import { geometricMean, median, quantile, spread, warmUp } from './statistics.ts';

test('median of odd, even and no values', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test('geometric mean', () => {
  assert.ok(Math.abs(geometricMean([1, 4, 16]) - 4) < 1e-12);
  assert.ok(Number.isNaN(geometricMean([])));
});

test('quantiles, between two values where they fall there', () => {
  assert.equal(quantile([5, 1, 2, 3, 4], 0.5), 3);
  assert.equal(quantile([0, 10], 0.95), 9.5);
  assert.equal(quantile([7], 0.95), 7);
  assert.ok(Number.isNaN(quantile([], 0.5)));
});

test('spread is half the interquartile distance as a part of the median', () => {
  assert.equal(spread([1, 2, 3, 4, 5]), 1 / 3);
  assert.equal(spread([7]), 0);
  assert.equal(spread([2, 2, 2]), 0);
});

test('warm-up is the time before the first slice at 90 % of the steady speed', () => {
  assert.deepEqual(warmUp([8, 4, 1.1, 1, 1, 1, 1, 1, 1, 1]), { steady: 1, seconds: 12, lost: 20.1 - 10 });
  // One slice of the later half that was disturbed does not change what is steady.
  assert.equal(warmUp([2, 1, 1, 1, 1, 9, 1, 1, 1, 1])!.seconds, 2);
  assert.deepEqual(warmUp([1, 1, 1, 1]), { steady: 1, seconds: 0, lost: 0 });
});

test('what runs in one piece has no warm-up', () => {
  assert.equal(warmUp([]), undefined);
  assert.equal(warmUp([1, 1, 1]), undefined);
});
