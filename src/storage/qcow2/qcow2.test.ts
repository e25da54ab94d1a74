/** qcow2 images against QEMU's own tools. */
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openHostFile } from '../host-file.ts';
import { openDisk } from '../open-disk.ts';
import {
  CLEAN,
  exercise,
  qemuBytes,
  qemuCheck,
  qemuImg,
  qemuIo,
  readAll,
  temporaryDirectory,
} from '../qemu.test-helper.ts';
import { createQcow2 } from './create.ts';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);

const LAYOUTS: readonly (readonly [name: string, options: string, size: string])[] = [
  ['the usual layout', 'compat=1.1', '4M'],
  ['version 2', 'compat=0.10', '4M'],
  ['clusters of 512 bytes, whose refcount table has to grow', 'cluster_size=512', '12M'],
  ['clusters of 2 MiB', 'cluster_size=2M', '24M'],
  ['refcounts of one bit', 'refcount_bits=1,cluster_size=4k', '4M'],
  ['refcounts of 64 bits', 'refcount_bits=64,cluster_size=1k', '4M'],
  ['preallocated tables', 'preallocation=metadata', '4M'],
  ['lazy refcounts', 'lazy_refcounts=on,cluster_size=4k', '4M'],
];

for (const [i, [name, options, size]] of LAYOUTS.entries()) {
  test(`${name}: random operations leave what QEMU reads, and a clean image`, async () => {
    const file = path(`layout${i}.qcow2`);
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, file, size);
    const disk = await openDisk({ path: file });
    const model = new Uint8Array(disk.size);
    await exercise({ disk, model, seed: 1, operations: 600 });
    // Everything is written once, so that every cluster is needed.
    if (options.includes('cluster_size=512')) await exercise({ disk, model, seed: 2, operations: 400, reach: 2000 });
    await disk.close();
    assert.deepEqual(await qemuCheck(file), CLEAN);
    assert.equal(Buffer.compare(await qemuBytes(file), model), 0);
    const again = await openDisk({ path: file });
    assert.equal(Buffer.compare(await readAll(again), model), 0);
    await exercise({ disk: again, model, seed: 3, operations: 200 });
    await again.close();
    assert.deepEqual(await qemuCheck(file), CLEAN);
    assert.equal(Buffer.compare(await qemuBytes(file), model), 0);
  });
}

for (const compat of ['1.1', '0.10']) {
  test(`an overlay over a smaller image, version ${compat}`, async () => {
    const base = path(`base-${compat}.qcow2`);
    await qemuImg('create', '-q', '-f', 'qcow2', base, '3M');
    await qemuIo(base, 'write -P 0x11 0 1M', 'write -P 0x22 2M 1M');
    const file = path(`overlay-${compat}.qcow2`);
    const options = ['-o', `compat=${compat},cluster_size=8k`];
    await qemuImg('create', '-q', '-f', 'qcow2', ...options, '-F', 'qcow2', '-b', `base-${compat}.qcow2`, file, '4M');
    const disk = await openDisk({ path: file });
    const model = await readAll(disk);
    assert.deepEqual([model[0], model[2 ** 20], model[2 ** 21], model[3 * 2 ** 20]], [0x11, 0, 0x22, 0]);
    await exercise({ disk, model, seed: 4, operations: 800 });
    await disk.close();
    assert.deepEqual([await qemuCheck(file), await qemuCheck(base)], [CLEAN, CLEAN]);
    assert.equal(Buffer.compare(await qemuBytes(file), model), 0);
  });
}

for (const compression of ['zlib', 'zstd']) {
  test(`compressed clusters (${compression}) are read, and replaced when written to`, async () => {
    const raw = path(`${compression}.raw`);
    const content = Buffer.alloc(4 * 2 ** 20);
    for (let i = 0; i < content.length; i += 8) content.writeUInt32LE(Math.imul(i >> 9, 2654435761) >>> 0, i);
    writeFileSync(raw, content);
    const file = path(`${compression}.qcow2`);
    await qemuImg('convert', '-c', '-O', 'qcow2', '-o', `compression_type=${compression}`, raw, file);
    assert.ok(statSync(file).size < content.length / 2);
    const disk = await openDisk({ path: file });
    assert.equal(Buffer.compare(await readAll(disk), content), 0);
    await exercise({ disk, model: content, seed: 5, operations: 400 });
    await disk.close();
    assert.deepEqual(await qemuCheck(file), CLEAN);
    assert.equal(Buffer.compare(await qemuBytes(file), content), 0);
  });
}

test('internal snapshots keep what they have', async () => {
  const file = path('snapshots.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', file, '2M');
  await qemuIo(file, 'write -P 0x33 0 1M');
  await qemuImg('snapshot', '-c', 'one', file);
  await qemuIo(file, 'write -P 0x44 512k 512k');
  await qemuImg('snapshot', '-c', 'two', file);
  const disk = await openDisk({ path: file });
  const model = await readAll(disk);
  await exercise({ disk, model, seed: 6, operations: 600 });
  await disk.close();
  assert.deepEqual(await qemuCheck(file), CLEAN);
  assert.equal(Buffer.compare(await qemuBytes(file), model), 0);
  for (const [name, second] of [
    ['two', 0x44],
    ['one', 0x33],
  ] as const) {
    await qemuImg('snapshot', '-a', name, file);
    const bytes = await qemuBytes(file);
    assert.ok(bytes.subarray(0, 2 ** 19).every((byte) => byte === 0x33));
    assert.ok(bytes.subarray(2 ** 19, 2 ** 20).every((byte) => byte === second));
    assert.deepEqual(await qemuCheck(file), CLEAN);
  }
});

test('an image that was not closed has its refcounts put right', async () => {
  const file = path('dirty.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', file, '8M');
  await qemuIo(file, 'write -P 0x55 0 2M', 'flush', 'abort').catch(() => {});
  assert.match(await qemuImg('info', '--output=json', file), /"dirty-flag": true/);
  assert.notDeepEqual(await qemuCheck(file), CLEAN);
  const disk = await openDisk({ path: file });
  const model = await readAll(disk);
  assert.equal(model[2 ** 20], 0x55);
  await exercise({ disk, model, seed: 7, operations: 200 });
  await disk.close();
  assert.match(await qemuImg('info', '--output=json', file), /"dirty-flag": false/);
  assert.deepEqual(await qemuCheck(file), CLEAN);
  assert.equal(Buffer.compare(await qemuBytes(file), model), 0);
});

test('discarded clusters are given back to the host and used again', { timeout: 60_000 }, async () => {
  const file = path('discard.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', file, '64M');
  const disk = await openDisk({ path: file });
  const blocks = () => statSync(file).blocks * 512;
  const data = [new Uint8Array(16 * 2 ** 20).fill(1)];
  await disk.write(0, data);
  await disk.flush();
  assert.ok(blocks() > 16 * 2 ** 20);
  await disk.discard(0, 16 * 2 ** 20);
  await disk.flush();
  // Behind the flush, when nothing uses the clusters any more: other threads do it, in their own time.
  while (blocks() >= 4 * 2 ** 20) await setImmediate();
  await disk.write(32 * 2 ** 20, data);
  await disk.close();
  assert.ok(statSync(file).size < 20 * 2 ** 20, 'the file did not grow');
  assert.deepEqual(await qemuCheck(file), CLEAN);
});

test('an image made here is one that QEMU knows', async () => {
  const file = path('made.qcow2');
  const made = await openHostFile(file, { readOnly: false, create: true });
  await createQcow2(made, 10 * 2 ** 30);
  await made.close();
  assert.deepEqual(await qemuCheck(file), CLEAN);
  const info = JSON.parse(await qemuImg('info', '--output=json', file));
  assert.deepEqual([info['virtual-size'], info['cluster-size'], info.format], [10 * 2 ** 30, 65536, 'qcow2']);
  const over = path('made-over.qcow2');
  const overlay = await openHostFile(over, { readOnly: false, create: true });
  await createQcow2(overlay, 10 * 2 ** 30, { name: 'made.qcow2', format: 'qcow2' });
  await overlay.close();
  assert.equal(JSON.parse(await qemuImg('info', '--output=json', over))['backing-filename-format'], 'qcow2');
  const disk = await openDisk({ path: over });
  await disk.write(9 * 2 ** 30, [new Uint8Array(512).fill(6)]);
  await disk.close();
  assert.deepEqual(await qemuCheck(over), CLEAN);
  await qemuIo(over, 'read -P 6 9G 512');
});
