import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPatience } from './patience.ts';

test('what waited is not done at once again for a multiple of that time', () => {
  let time = 0;
  const patience = createPatience(() => time);
  const takes = (ms: number, bytes = 0) => {
    assert.ok(patience.may());
    assert.equal(
      patience.timed(() => (time += ms), bytes),
      time,
    );
  };
  takes(3);
  takes(5, 2 ** 20);
  takes(100);
  time += 1999;
  assert.ok(!patience.may());
  time += 1;
  takes(1);
  assert.ok(patience.may());
});

test('work that fails counts, too', () => {
  let time = 0;
  const patience = createPatience(() => time);
  assert.throws(() =>
    patience.timed(() => {
      time += 50;
      throw new Error('full');
    }, 512),
  );
  assert.ok(!patience.may());
});
