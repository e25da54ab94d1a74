import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Block } from '../interpreter/blocks.ts';
import { CELL, CELL_SIZE } from './cell.ts';
import { type CodeLimits, createCodeCache } from './code-cache.ts';
import { createRegionTable } from './region-table.ts';

const BASE = 0x1000;
const ROOM: CodeLimits = { regions: 1000, codeBytes: 1e6, cellBytes: 64 * 1024 };

/** A cache whose regions have numbers; `record` tells which block is whose. */
function rig(limits: Partial<CodeLimits>) {
  const all = { ...ROOM, ...limits };
  const buffer = new SharedArrayBuffer(BASE + all.cellBytes);
  const table = createRegionTable(buffer, { base: BASE, size: all.cellBytes });
  const data = new DataView(buffer);
  const cells = new Map<Block, number>();
  const gone: number[][] = [];
  const cache = createCodeCache(
    table,
    all,
    (block) => {
      table.release(cells.get(block) as number);
      cells.delete(block);
    },
    (blocks) => gone.push([...blocks].map(({ record }) => record)),
  );
  const cellOf = (number: number) => [...cells].find(([block]) => block.record === number)?.[1] as number;
  return {
    table,
    cache,
    gone,
    add(number: number, count = 1, codeBytes = 100): number {
      const cell = cache.reserve(count);
      if (cell === 0) return 0;
      const block = { record: number } as Block;
      cells.set(block, cell);
      table.enter(cell, { block, handler: number, interpreter: 0, pages: new Map(), codeBytes });
      return cell;
    },
    /** What a region does when it is entered. */
    enter: (number: number) => data.setUint32(cellOf(number) + CELL.used, 1, true),
    live: () => [...cells.keys()].map(({ record }) => record).sort((a, b) => a - b),
  };
}

test('regions that were not entered lately go first, the oldest before others, a quarter at a time', () => {
  const { add, enter, live, gone } = rig({ regions: 8 });
  for (let i = 0; i < 7; i++) add(i);
  // Nearly full since region 6 was made: these are seen to be in use.
  for (const i of [0, 1, 3, 6]) enter(i);
  add(7);
  assert.deepEqual(gone, []);
  add(8);
  assert.deepEqual(gone, [[2, 4, 5]]);
  assert.deepEqual(live(), [0, 1, 3, 6, 7, 8]);
});

test('where every region is in use the oldest go', () => {
  const { add, enter, live, cache } = rig({ regions: 8 });
  for (let i = 0; i < 8; i++) add(i);
  for (let i = 0; i < 8; i++) enter(i);
  add(8);
  assert.deepEqual(live(), [3, 4, 5, 6, 7, 8]);
  assert.equal(cache.evicted, 3);
});

test('bytes of code are bounded, but for the last region', () => {
  const { add, table } = rig({ codeBytes: 1000 });
  for (let i = 0; i < 50; i++) {
    add(i, 1, 130);
    assert.ok(table.codeBytes < 1130);
  }
  assert.ok(table.size >= 5);
});

test('cells are bounded, and a region that needs many gets them from as many others as it takes', () => {
  const { add, live, table } = rig({ cellBytes: 32 * CELL_SIZE });
  for (let i = 0; i < 15; i++) assert.notEqual(add(i, 2), 0);
  assert.notEqual(add(100, 31), 0);
  assert.deepEqual(live(), [100]);
  assert.equal(table.cellBytes, 31 * CELL_SIZE);
  assert.equal(add(101, 33), 0, 'more than there can be');
});
