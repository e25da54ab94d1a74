import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smallArena } from './arena.test-helper.ts';
import { PAGE_SIZE } from './layout.ts';
import { createPhysicalMap, PAGE_FLAG } from './physical-map.ts';

/** A map of eight zero pages that notes what it tells others. */
function rig() {
  const told: string[] = [];
  let frame = 16;
  const pool = {
    buffer: new ArrayBuffer(0),
    zeroFrame: 8,
    used: 0,
    allocate: () => frame++,
    share() {},
    release() {},
    giveBack(frames: readonly number[]) {
      told.push(`frames ${frames.join(' ')} back`);
      return frames.length;
    },
    references: () => 1,
  };
  const arena = smallArena();
  const map = createPhysicalMap(arena, pool, 8 * PAGE_SIZE, {
    codeWritten: (holder, page, from, to) => void told.push(`vCPU ${holder}: page ${page}, ${from} to ${to}`),
    revokedAll: () => void told.push('all grants'),
    revoked: (host, moved) => void told.push(`grants of frame ${host / PAGE_SIZE}${moved ? ', which moved' : ''}`),
    exclusively(work) {
      told.push('alone');
      work();
      told.push('together');
    },
  });
  return { map, entries: new Uint32Array(arena.buffer), take: () => told.splice(0) };
}

test('whoever begins to hold code of a page waits for stores that are under way; the first one ends all grants', () => {
  const { map, take } = rig();
  map.makeWritable(2);
  map.holdCode(2, 0);
  assert.deepEqual(take(), ['alone', 'grants of frame 16', 'together']);
  map.holdCode(2, 3);
  assert.deepEqual(take(), ['alone', 'together'], 'one may be about to store that has told vCPU 0 only');
});

test('all that hold code of a page are told of writes to it, and nobody else', () => {
  const { map, take } = rig();
  map.makeWritable(2);
  for (const holder of [0, 3, 7]) map.holdCode(2, holder);
  take();
  map.writeCode(2, 10, 14);
  const [first, third, seventh] = [0, 3, 7].map((holder) => `vCPU ${holder}: page 2, 10 to 14`);
  assert.deepEqual(take(), [first, third, seventh]);
  map.writeCode(1, 10, 14);
  assert.deepEqual(take(), []);
  map.releaseCode(2, 0);
  map.writeCode(2, 10, 14);
  assert.deepEqual(take(), [third, seventh]);
  map.releaseCode(2, 3);
  assert.equal(map.entry(2) & PAGE_FLAG.code, PAGE_FLAG.code);
  map.releaseCode(2, 7);
  assert.equal(map.entry(2) & PAGE_FLAG.code, 0);
  map.writeCode(2, 10, 14);
  assert.deepEqual(take(), []);
});

test('what is to be written in several pages is told once all are ready: to get one ready may take waiting', () => {
  const { map, entries, take } = rig();
  for (const page of [2, 3]) map.holdCode(page, 1);
  entries[map.base / 4 + 3] |= PAGE_FLAG.seen;
  take();
  assert.equal(map.spans(3 * PAGE_SIZE - 4, 8, 'write')?.length, 2);
  assert.deepEqual(take(), [
    'alone',
    'grants of frame 8, which moved',
    'together',
    'vCPU 1: page 2, 4092 to 4096',
    'vCPU 1: page 3, 0 to 4',
  ]);
});

test('a zero page that somebody has read gets its frame while nobody runs, and no grant of the zero frame holds', () => {
  const { map, entries, take } = rig();
  assert.equal(map.makeWritable(1), 16 * PAGE_SIZE);
  assert.deepEqual(take(), [], 'nobody has read it');
  entries[map.base / 4 + 4] |= PAGE_FLAG.seen;
  assert.equal(map.makeWritable(4), 17 * PAGE_SIZE);
  assert.deepEqual(take(), ['alone', 'grants of frame 8, which moved', 'together']);
  assert.equal(map.makeWritable(4), 17 * PAGE_SIZE);
  assert.deepEqual(take(), [], 'it has one');
});

test('discarded pages are zero pages again; while nobody runs, all grants end, and who holds code is told', () => {
  const { map, entries, take } = rig();
  for (const page of [1, 2, 4]) map.makeWritable(page);
  map.holdCode(2, 3);
  take();
  assert.equal(map.discard(0, 100), 3);
  assert.deepEqual(take(), ['alone', 'vCPU 3: page 2, 0 to 4096', 'all grants', 'together', 'frames 16 17 18 back']);
  const first = map.base / 4;
  const flags = [...entries.subarray(first, first + 8)].map((entry) => entry & (PAGE_FLAG.code | PAGE_FLAG.dirty | 7));
  const { code, dirty } = PAGE_FLAG;
  assert.deepEqual(flags, [2, 2 | dirty, 2 | dirty | code, 2, 2 | dirty, 2, 2, 2]);
  assert.equal(map.discard(0, 8), 0);
  assert.equal(map.discard(8, 1), 0, 'behind RAM there is nothing');
  map.makeWritable(1);
  assert.equal(map.resident(), 1);
});
