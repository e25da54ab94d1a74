import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { placeVcpu } from '../../engine/translated/vcpu-place.ts';
import { createArena } from '../../memory/arena.ts';
import { createFramePool } from '../../memory/frame-pool.ts';
import { createSharedMemory, PAGE_SIZE } from '../../memory/layout.ts';
import { createPhysicalMap } from '../../memory/physical-map.ts';
import { giveBack, preferHugePages, preferSmallPages } from './host-memory.ts';

const KNOWN = '/sys/kernel/mm/transparent_hugepage/enabled';

/** Mappings of this process that the kernel was told to back with large pages. */
const advised = () => [...readFileSync('/proc/self/smaps', 'utf8').matchAll(/^VmFlags:.*\bhg\b/gm)].length;

test('memory is marked for large pages, and stays what it was', { skip: !existsSync(KNOWN) }, () => {
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes[12_345] = 7;
  const before = advised();
  preferHugePages(memory);
  assert.equal(advised(), before + 1);
  assert.equal(bytes[12_345], 7);
});

test('where a machine touches little, it gets small pages', { skip: !existsSync(KNOWN) }, () => {
  const { buffer } = createSharedMemory();
  const memory = { buffer };
  preferHugePages(memory);
  const sparse: [number, number][] = [];
  const arena = createArena(buffer, {
    sparse(address, length) {
      sparse.push([address, length]);
      preferSmallPages(memory, address, length);
    },
  });
  createFramePool(arena);
  const { records, cells } = placeVcpu(arena, 2 ** 26, 2 ** 24);
  const before = resident();
  const bytes = new Uint8Array(buffer);
  for (const [address] of sparse) bytes[address] = 1;
  assert.equal(sparse.length, 3);
  assert.ok(resident() - before < 2 ** 20, `${resident() - before} bytes more`);
  // Records have large pages but where the notes are, and nothing reaches beyond its area.
  assert.deepEqual(sparse[1], [records.base + 2 ** 26 - 2 ** 21, 2 ** 21]);
  assert.deepEqual(sparse[2], [cells.base, 2 ** 24 - 2 ** 21]);
  assert.ok(sparse.every(([address, length]) => address % PAGE_SIZE === 0 && address + length <= arena.end));
});

/** Bytes of this process that are in the host's memory. */
const resident = () => Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096;

test('what a guest gives back, the host has', { skip: !existsSync('/proc/self/statm') }, () => {
  const memory = createSharedMemory();
  const arena = createArena(memory.buffer);
  preferHugePages(memory);
  const pool = createFramePool(arena, (address, length) => giveBack(memory, address, length));
  const pages = 16_384;
  const map = createPhysicalMap(arena, pool, (pages + 512) * PAGE_SIZE, { codeWritten() {}, revoked() {} });
  const before = resident();
  for (let page = 0; page < pages; page++) map.spans(page * PAGE_SIZE, PAGE_SIZE, 'write')![0]!.fill(page + 1);
  const full = resident();
  assert.ok(full - before > 60 * 2 ** 20, `${full - before} bytes more`);
  // One by one, inside of large pages of the host, and all others at once.
  for (let page = 0; page < 1024; page += 2) map.discard(page, 1);
  assert.equal(map.resident(), pages - 512);
  assert.equal(map.discard(0, pages), pages - 512);
  assert.ok(full - resident() > 60 * 2 ** 20, `${full - resident()} bytes less`);
  assert.equal(pool.used, 0);
  assert.equal(
    map.spans(PAGE_SIZE, PAGE_SIZE, 'read')![0]!.every((byte) => byte === 0),
    true,
  );
  map.spans(PAGE_SIZE, PAGE_SIZE, 'write')![0]!.fill(9);
  assert.equal(pool.used, 1);
});
