import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHANGED_CODE_BYTES, createChangedCode } from './changed-code.ts';

function rig() {
  const buffer = new SharedArrayBuffer(CHANGED_CODE_BYTES);
  const own = createChangedCode(buffer, 0, 0);
  const other = createChangedCode(buffer, 0, 1);
  const taken = () => {
    const seen: (readonly number[] | 'all')[] = [];
    own.take(
      (...change) => seen.push(change),
      () => seen.push('all'),
    );
    return seen;
  };
  return { own, other, taken };
}

test('what others tell is taken once, in order', () => {
  const { own, other, taken } = rig();
  assert.equal(own.any(), false);
  other.post(7, 1, 2);
  other.post(0xfffff, 0, 4096);
  assert.equal(own.any(), true);
  assert.deepEqual(taken(), [
    [7, 1, 2],
    [0xfffff, 0, 4096],
  ]);
  assert.equal(own.any(), false);
  assert.deepEqual(taken(), []);
});

test('more than there is room for makes everything count as changed, once', () => {
  const { own, other, taken } = rig();
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 256; i++) other.post(i, 0, 1);
    assert.equal(own.any(), true);
    assert.equal(taken().length, 256);
  }
  for (let i = 0; i < 300; i++) other.post(i, 0, 1);
  const seen = taken();
  assert.deepEqual([seen.length, seen.at(-1)], [257, 'all']);
  assert.deepEqual(taken(), []);
  other.post(3, 0, 1);
  assert.deepEqual(taken(), [[3, 0, 1]]);
});
