import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRingBuffer, openRing } from './ring.ts';

test('a ring gives back what was written, in order, past its end', () => {
  const buffer = createRingBuffer(8);
  const writer = openRing(buffer);
  const reader = openRing(buffer);
  assert.equal(writer.write(Uint8Array.of(1, 2, 3, 4, 5)), 5);
  assert.deepEqual([...reader.read(3)], [1, 2, 3]);
  assert.equal(writer.write(Uint8Array.of(6, 7, 8, 9, 10, 11, 12)), 6);
  assert.equal(writer.room(), 0);
  assert.deepEqual([...reader.read(100)], [4, 5, 6, 7, 8, 9, 10, 11]);
  assert.equal(reader.available(), 0);
});
