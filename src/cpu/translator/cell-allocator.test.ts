import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCellAllocator } from './cell-allocator.ts';

const CELL = 64;
const BASE = 0x1000;
const area = (cells: number) => ({ base: BASE, size: cells * CELL });

test('runs follow each other until there is no room, and what is given back is used again', () => {
  const cells = createCellAllocator(area(10), CELL);
  assert.equal(cells.allocate(4), BASE);
  const second = cells.allocate(4);
  assert.equal(second, BASE + 4 * CELL);
  assert.equal(cells.allocate(3), 0);
  cells.release(second);
  assert.equal(cells.allocate(6), second);
  assert.equal(cells.used, 10 * CELL);
});

test('neighbours that are given back in any order make one run', () => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
  ]) {
    const cells = createCellAllocator(area(9), CELL);
    const runs = [cells.allocate(3), cells.allocate(3), cells.allocate(3)];
    for (const i of order) cells.release(runs[i]);
    assert.equal(cells.used, 0);
    assert.equal(cells.allocate(9), BASE);
  }
});

test('what a run turns out not to need goes to others', () => {
  const cells = createCellAllocator(area(8), CELL);
  const first = cells.allocate(8);
  cells.trim(first, 3);
  assert.equal(cells.used, 3 * CELL);
  assert.equal(cells.allocate(5), first + 3 * CELL);
  cells.release(first);
  assert.equal(cells.allocate(4), 0);
  assert.equal(cells.allocate(3), first);
});

test('many runs of different lengths never overlap and all come back', () => {
  const cells = createCellAllocator(area(500), CELL);
  const live = new Map<number, number>();
  let seed = 1;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let i = 0; i < 5000; i++) {
    if (live.size > 0 && random(2) === 0) {
      const [cell] = [...live][random(live.size)];
      cells.release(cell);
      live.delete(cell);
      continue;
    }
    const count = 1 + random(40);
    const cell = cells.allocate(count);
    if (cell === 0) continue;
    for (const [other, length] of live) assert.ok(cell + count * CELL <= other || other + length * CELL <= cell);
    live.set(cell, count);
  }
  const total = [...live.values()].reduce((sum, count) => sum + count, 0);
  assert.equal(cells.used, total * CELL);
  for (const cell of live.keys()) cells.release(cell);
  assert.equal(cells.allocate(500), BASE);
});
