import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ErrorKind, VirtsError } from '../base/errors.ts';
import { openDisk } from './open-disk.ts';
import { temporaryOverlay } from './overlay.ts';
import { exercise, qemuImg, qemuIo, readAll, temporaryDirectory } from './qemu.test-helper.ts';

const directory = temporaryDirectory();
const path = (name: string) => join(directory, name);
const fails = (kind: ErrorKind, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof VirtsError, String(error));
  assert.equal(error.kind, kind);
  assert.match(error.message, message);
  assert.match(error.message, /^[^\n]+\.$/);
  return true;
};

test('a raw image is its bytes; a last sector that is cut off ends in zeros', async () => {
  writeFileSync(path('a.raw'), Buffer.alloc(1_000_100, 7));
  const disk = await openDisk({ path: path('a.raw') });
  assert.equal(disk.size, 1_000_448);
  const model = await readAll(disk);
  assert.deepEqual([model[1_000_099], model[1_000_100]], [7, 0]);
  await exercise({ disk, model, seed: 1, operations: 300 });
  await disk.close();
  assert.equal(Buffer.compare(readFileSync(path('a.raw')), model.subarray(0, readFileSync(path('a.raw')).length)), 0);
});

test('what is discarded or zeroed on a raw disk is given back to the host, and zeros may keep their place', async () => {
  writeFileSync(path('d.raw'), Buffer.alloc(3 * 2 ** 20, 7));
  const disk = await openDisk({ path: path('d.raw') });
  const used = () => statSync(path('d.raw')).blocks * 512;
  await disk.flush();
  const before = used();
  await disk.writeZeroes(0, 2 ** 20, false);
  assert.ok(used() >= before);
  await disk.discard(2 ** 20, 2 ** 20);
  assert.ok(used() <= before - 2 ** 20 + 65536, `${used()} of ${before}`);
  await disk.writeZeroes(2 ** 21, 2 ** 20, true);
  assert.ok(used() <= before - 2 ** 21 + 65536, `${used()} of ${before}`);
  assert.equal(Buffer.compare(await readAll(disk), Buffer.alloc(3 * 2 ** 20)), 0);
  await disk.close();
});

test('the name says the format, and one that contradicts the content is asked about', async () => {
  await qemuImg('create', '-q', '-f', 'qcow2', path('q.qcow2'), '1M');
  writeFileSync(path('q.img'), readFileSync(path('q.qcow2')));
  const named = await openDisk({ path: path('q.qcow2') });
  assert.equal(named.size, 2 ** 20);
  await named.close();
  await assert.rejects(openDisk({ path: path('q.img') }), fails('usage', /format=qcow2, or format=raw/));
  const raw = await openDisk({ path: path('q.img'), format: 'raw', readOnly: true });
  assert.notEqual(raw.size, 2 ** 20);
  await raw.close();
  writeFileSync(path('no.qcow2'), 'text');
  await assert.rejects(openDisk({ path: path('no.qcow2') }), fails('bad-input', /not a usable qcow2 image/));
});

test('what cannot be opened is one sentence', async () => {
  await assert.rejects(openDisk({ path: path('none') }), fails('not-found', /There is no disk image/));
  await assert.rejects(openDisk({ path: directory }), fails('io', /is a directory/));
  await assert.rejects(openDisk({ path: directory, readOnly: true }), fails('bad-input', /is a directory/));
  await assert.rejects(openDisk({ path: '/dev/null', readOnly: true }), fails('unsupported', /no regular file/));
});

test('an image that is written to is locked against all others, and QEMU keeps to it', async () => {
  writeFileSync(path('l.raw'), new Uint8Array(1024));
  const writer = await openDisk({ path: path('l.raw') });
  const inUse = fails('io', /in use by another machine or program/);
  await assert.rejects(openDisk({ path: path('l.raw') }), inUse);
  await assert.rejects(openDisk({ path: path('l.raw'), readOnly: true }), inUse);
  await assert.rejects(qemuIo(path('l.raw'), 'write 0 512'), /lock/);
  await writer.close();
  const readers = [
    await openDisk({ path: path('l.raw'), readOnly: true }),
    await openDisk({ path: path('l.raw'), readOnly: true }),
  ];
  await assert.rejects(openDisk({ path: path('l.raw') }), inUse);
  for (const reader of readers) await reader.close();
});

test('what Virts does not know is refused in a sentence that names it', async () => {
  const cases: readonly (readonly [options: string, ErrorKind, RegExp])[] = [
    [`data_file=${path('data')}`, 'unsupported', /keeps its data in another file/],
    ['extended_l2=on', 'unsupported', /extended L2 entries/],
  ];
  for (const [i, [options, kind, message]] of cases.entries()) {
    const file = path(`refused${i}.qcow2`);
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', options, file, '1M');
    await assert.rejects(openDisk({ path: file }), fails(kind, message));
  }
  await qemuImg('create', '-q', '-f', 'qcow2', path('bits.qcow2'), '1M');
  const bytes = readFileSync(path('bits.qcow2'));
  const patched = async (at: number, value: number, readOnly = false) => {
    const copy = Buffer.from(bytes);
    copy[at] = value;
    writeFileSync(path('patched.qcow2'), copy);
    return openDisk({ path: path('patched.qcow2'), readOnly });
  };
  await assert.rejects(patched(72, 0x80), fails('unsupported', /feature 63/));
  await assert.rejects(patched(35, 2), fails('unsupported', /is encrypted/));
  await assert.rejects(patched(7, 1), fails('unsupported', /version 1/));
  await assert.rejects(patched(79, 2), fails('bad-input', /marked as corrupt/));
  await (await patched(79, 2, true)).close();
});

test('an image may name backing files in its own directory, unless it is trusted', async () => {
  mkdirSync(path('in'));
  await qemuImg('create', '-q', '-f', 'raw', path('secret'), '1M');
  await qemuIo(path('secret'), 'write -P 9 0 1M');
  const image = path('in/image.qcow2');
  const over = (backing: string) => qemuImg('create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', backing, image, '1M');
  await over('../secret');
  await assert.rejects(openDisk({ path: image }), fails('untrusted', /outside its directory; say backing=any/));
  const trusted = await openDisk({ path: image, anyBacking: true });
  assert.equal((await readAll(trusted))[0], 9);
  await trusted.close();
  await over(path('secret'));
  await assert.rejects(openDisk({ path: image }), fails('untrusted', /no relative name/));
  symlinkSync(path('secret'), path('in/link'));
  await over('link');
  await assert.rejects(openDisk({ path: image }), fails('untrusted', /outside its directory/));
  await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', 'image.qcow2', image, '1M');
  await assert.rejects(openDisk({ path: image, readOnly: true }), fails('bad-input', /its own backing file/));
  await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', 'gone', image, '1M');
  await assert.rejects(openDisk({ path: image }), fails('untrusted', /does not exist/));
  await qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', 'nbd://host/disk', image, '1M');
  await assert.rejects(openDisk({ path: image, anyBacking: true }), fails('untrusted', /no file of this host/));
});

test('a temporary layer takes what is written and leaves the image as it is', async () => {
  await qemuImg('create', '-q', '-f', 'raw', path('base.raw'), '2M');
  await qemuIo(path('base.raw'), 'write -P 5 0 1M');
  const before = readFileSync(path('base.raw'));
  const disk = await temporaryOverlay(await openDisk({ path: path('base.raw'), readOnly: true }));
  const model = await readAll(disk);
  assert.equal(Buffer.compare(model, before), 0);
  await exercise({ disk, model, seed: 9, operations: 300 });
  await disk.close();
  assert.equal(Buffer.compare(readFileSync(path('base.raw')), before), 0);
});
