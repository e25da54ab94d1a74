import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inTurn } from './in-turn.ts';

test('work begins when what was asked for before is over, even where that failed', async () => {
  const turns = inTurn();
  const gate = Promise.withResolvers<void>();
  const told: string[] = [];
  const first = turns(async () => {
    told.push('first begins');
    await gate.promise;
    told.push('first ends');
    throw new Error('no');
  });
  const second = turns(async () => {
    told.push('second');
    return 2;
  });
  await Promise.resolve();
  gate.resolve();
  await assert.rejects(first, /no/);
  assert.equal(await second, 2);
  assert.deepEqual(told, ['first begins', 'first ends', 'second']);
});
