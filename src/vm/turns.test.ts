import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import type { Vcpu } from '../engine/translated/vcpu-interface.ts';
import { createTurns, TURNS } from './turns.ts';

const TURN = 20_000;

/** Turns of `count` vCPUs that are all awake, unless their place in `awake` says something else. */
function rig(count: number) {
  const awake = new Array<boolean>(count).fill(true);
  const vcpus = awake.map((_, number) => ({ awake: () => awake[number] }) as Vcpu);
  const turns = createTurns(vcpus);
  return { awake, turns, next: () => vcpus.indexOf(turns.next() as Vcpu) };
}

const damaged = (error: unknown) => error instanceof VirtsError && error.kind === 'bad-input';

test('a vCPU runs until its turn is used up, then the next one does, and the first after the last', () => {
  const { turns, next } = rig(3);
  for (const number of [0, 1, 2, 0]) {
    assert.equal(next(), number);
    turns.ran(TURN - 1);
    assert.equal(next(), number);
    assert.equal(turns.left(), 1);
    turns.ran(1);
    assert.equal(turns.left(), TURN);
  }
});

test('what ran over its turn has no more than that', () => {
  const { turns, next } = rig(2);
  turns.ran(TURN + 500);
  assert.deepEqual([next(), turns.left()], [1, TURN]);
});

test('who sleeps is passed over, with what is left of its turn; nobody is next if all sleep', () => {
  const { awake, turns, next } = rig(3);
  turns.ran(100);
  awake[0] = awake[1] = false;
  assert.deepEqual([next(), turns.left()], [2, TURN]);
  awake[2] = false;
  assert.equal(turns.next(), undefined);
  awake[1] = true;
  assert.deepEqual([next(), turns.left()], [1, TURN]);
});

test('a vCPU that gave another something to do ends its turn', () => {
  const { turns, next } = rig(2);
  turns.ran(100);
  turns.yield();
  assert.deepEqual([next(), turns.left()], [1, TURN]);
});

test('one vCPU alone has no turns', () => {
  const { turns, next } = rig(1);
  assert.equal(turns.left(), Number.POSITIVE_INFINITY);
  turns.ran(10 * TURN);
  assert.deepEqual([next(), turns.left()], [0, Number.POSITIVE_INFINITY]);
});

test('turns go on from what was saved', () => {
  const { turns } = rig(2);
  turns.ran(TURN);
  turns.ran(123);
  const other = rig(2);
  other.turns.restore(new Uint8Array(turns.bytes));
  assert.deepEqual([other.next(), other.turns.left()], [1, TURN - 123]);
});

for (const [what, bytes] of [
  ['too short', new Uint8Array(TURNS.size - 1)],
  ['too long', new Uint8Array(TURNS.size + 1)],
  ['of a vCPU that is not there', saved(2, 1)],
  ['with nothing left', saved(0, 0)],
  ['with more left than a turn has', saved(1, TURN + 1)],
] as const) {
  test(`saved turns ${what} are refused`, () => {
    assert.throws(() => rig(2).turns.restore(bytes), damaged);
  });
}

function saved(vcpu: number, left: number): Uint8Array {
  const bytes = new Uint8Array(TURNS.size);
  Object.assign(TURNS.view(bytes.buffer, 0), { vcpu, left });
  return bytes;
}
