import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { type Fields, type StructSchema, struct } from '../base/struct.ts';
import { smallArena } from '../memory/arena.test-helper.ts';
import { createStructMemory } from './struct-memory.ts';

const POINT = struct('point', 1, { x: 'f64', y: 'f64' });
const LAMP = struct('lamp', 1, { lit: 'u8' });

test('all threads place the same structs in the same memory, which only the first of them fills', () => {
  const { buffer } = smallArena();
  const first = createStructMemory(smallArena(buffer));
  const point = first.place(POINT, (fresh) => {
    fresh.x = 3;
  });
  const lamp = first.place(LAMP);
  point.x = 4;
  const second = createStructMemory(smallArena(buffer, 1));
  const same = second.place(POINT, () => assert.fail('there is nothing new'));
  assert.equal(same.x, 4);
  second.place(LAMP).lit = 1;
  assert.equal(lamp.lit, 1);
  assert.deepEqual([first.joins, second.joins], [false, true]);
  assert.deepEqual(second.bytesOf(same), first.bytesOf(point));
});

test('a thread that places another struct than the first thread did is told', () => {
  const others: readonly StructSchema<Fields>[] = [
    struct('point', 2, POINT.fields),
    struct('spot', 1, POINT.fields),
    struct('point', 1, { ...POINT.fields, z: 'f64' }),
    LAMP,
  ];
  for (const other of others) {
    const { buffer } = smallArena();
    createStructMemory(smallArena(buffer)).place(POINT);
    const { place } = createStructMemory(smallArena(buffer, 1));
    assert.throws(
      () => place(other),
      (error) => error instanceof VirtsError && error.kind === 'internal',
    );
  }
  const empty = createStructMemory(smallArena(undefined, 1));
  assert.throws(() => empty.place(POINT), VirtsError, 'the first thread has placed nothing yet');
});

test('the bytes of a struct that lies elsewhere are not known', () => {
  const memory = createStructMemory(smallArena());
  assert.throws(() => memory.bytesOf(POINT.view(new ArrayBuffer(16), 0)), VirtsError);
});
