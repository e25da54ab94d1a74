import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createArena } from './arena.ts';
import { createFramePool, firstFrame } from './frame-pool.ts';
import { createSharedMemory, MEMORY_SIZE, PAGE_SIZE } from './layout.ts';

const noSpace = { name: 'VirtsError', kind: 'no-space' };

test('an arena is handed out from both ends, until they meet', () => {
  const arena = createArena(new ArrayBuffer(0), { start: 0x1000, end: 0x8000 });
  assert.equal(arena.allocate(1), 0x1000);
  assert.equal(arena.reserve(1), 0x7fc0);
  assert.equal(arena.reserve(0x1000, 0x1000), 0x6000);
  assert.equal(arena.allocate(0x1000, 0x1000), 0x2000);
  assert.throws(() => arena.reserve(0x3001), noSpace);
  assert.throws(() => arena.allocate(0x3001), noSpace);
  assert.throws(() => arena.reserve(0x3000, 0x4000), noSpace);
  // What did not fit took nothing.
  assert.equal(arena.allocate(0x1000), 0x3000);
  assert.equal(arena.reserve(0x2000), 0x4000);
  assert.throws(() => arena.allocate(1), noSpace);
  assert.throws(() => arena.reserve(1), noSpace);
});

test('threads of a machine find the same things at the same places', () => {
  const { buffer } = createSharedMemory();
  const pools = [0, 1].map((thread) => createFramePool(createArena(buffer, { thread })));
  const frame = pools[0].allocate();
  pools[1].share(frame);
  assert.equal(pools[0].references(frame), 2);
  assert.equal(pools[1].zeroFrame, pools[0].zeroFrame);
});

test('frames begin with a cluster above the arena, and the last one is the end of the memory', () => {
  assert.deepEqual([0x20_0000, 0x20_0001, 0x30_0000].map(firstFrame), [512, 1024, 1024]);
  // So little is left that the pool runs out at once.
  const end = MEMORY_SIZE - 0x20_0000;
  const pool = createFramePool(createArena(createSharedMemory().buffer, { start: end - 0x1_0000, end }));
  const frames = Array.from({ length: 512 }, () => pool.allocate());
  assert.deepEqual([frames[0], frames.at(-1)], [end / PAGE_SIZE, MEMORY_SIZE / PAGE_SIZE - 1]);
  assert.throws(() => pool.allocate(), noSpace);
  assert.ok(pool.zeroFrame * PAGE_SIZE < end);
  pool.release(frames[511]);
  assert.equal(pool.references(frames[511]), 0);
  assert.equal(pool.allocate(), frames[511]);
});
