import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { growDisk } from './grow-disk.ts';
import { openDisk } from './open-disk.ts';
import {
  CLEAN,
  exercise,
  qemuBytes,
  qemuCheck,
  qemuImg,
  qemuIo,
  readAll,
  temporaryDirectory,
} from './qemu.test-helper.ts';

const directory = temporaryDirectory();
const MIB = 2 ** 20;

/** Grows an image and uses all of it; what was there stays, and what is new is zero. */
async function grow(name: string, options: string, from: number, to: number): Promise<void> {
  const path = join(directory, `${name}.qcow2`);
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, String(from));
  await qemuIo(path, `write -P 5 0 ${from}`);
  await growDisk({ path }, to);
  assert.deepEqual(await qemuCheck(path), CLEAN);
  const bytes = await qemuBytes(path);
  assert.equal(bytes.length, to);
  assert.equal(Buffer.compare(bytes, Buffer.concat([Buffer.alloc(from, 5), Buffer.alloc(to - from)])), 0);
  const disk = await openDisk({ path });
  const model = await readAll(disk);
  await exercise({ disk, model, seed: 7, operations: 200 });
  await disk.close();
  assert.equal(Buffer.compare(await qemuBytes(path), model), 0);
  assert.deepEqual(await qemuCheck(path), CLEAN);
}

test('a qcow2 disk grows where its L1 table has room', () => grow('room', 'cluster_size=64k', MIB, 5 * MIB));

test('a qcow2 disk grows with an L1 table that moves', async () => {
  await grow('moved', 'cluster_size=512', MIB, 5 * MIB);
  await grow('old', 'cluster_size=512,compat=0.10', MIB, 3 * MIB);
  await grow('narrow', 'cluster_size=1k,refcount_bits=1', 2 * MIB, 20 * MIB);
});

test('an image that was not closed is put right as it grows', async () => {
  const path = join(directory, 'lazy.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on,cluster_size=512', path, '1M');
  await qemuIo(path, 'write -P 3 0 64k', 'flush', 'abort').catch(() => {});
  await growDisk({ path }, 3 * MIB);
  assert.deepEqual(await qemuCheck(path), CLEAN);
  const bytes = await qemuBytes(path);
  assert.deepEqual([bytes.length, bytes[0], bytes[65535], bytes[65536]], [3 * MIB, 3, 3, 0]);
});

test('a raw disk becomes longer, with a hole', async () => {
  const path = join(directory, 'disk.raw');
  writeFileSync(path, Buffer.alloc(4096, 1));
  await growDisk({ path }, 8 * MIB);
  const { size, blocks } = statSync(path);
  assert.equal(size, 8 * MIB);
  assert.ok(blocks * 512 < MIB);
});

test('what cannot be is one sentence, and changes nothing', async () => {
  const path = join(directory, 'no.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', path, '1M');
  const fails = (kind: string, message: RegExp) => (error: unknown) =>
    error instanceof VirtsError && error.kind === kind && message.test(error.message);
  await assert.rejects(growDisk({ path }, 512), fails('usage', /cannot be made smaller/));
  await assert.rejects(growDisk({ path }, 2 * MIB + 1), fails('usage', /multiple of 512/));
  await assert.rejects(growDisk({ path }, 2 ** 50), fails('unsupported', /clusters are too small/));
  await growDisk({ path }, MIB);
  assert.deepEqual(await qemuCheck(path), CLEAN);
  const disk = await openDisk({ path });
  await assert.rejects(growDisk({ path }, 2 * MIB), fails('io', /in use by another machine/));
  await disk.close();
});
