import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeIso9660 } from './iso9660.ts';
import { noCloudSeed } from './no-cloud.ts';

/** The files of a volume by their Rock Ridge names, read as the standards describe it. */
function readVolume(volume: Uint8Array): { label: string; files: Map<string, string> } {
  const view = new DataView(volume.buffer);
  const text = (at: number, length: number) => Buffer.from(volume.subarray(at, at + length)).toString('latin1');
  const descriptor = 16 * 2048;
  assert.equal(text(descriptor, 7), '\x01CD001\x01');
  assert.equal(text(descriptor + 2048, 6), '\xffCD001');
  assert.equal(view.getUint32(descriptor + 80, true) * 2048, volume.length);
  assert.equal(view.getUint16(descriptor + 128, true), 2048);
  const [root, length] = [156 + 2, 156 + 10].map((at) => view.getUint32(descriptor + at, true));
  const table = view.getUint32(descriptor + 140, true) * 2048;
  assert.equal(view.getUint32(table + 2, true), root);
  assert.equal(view.getUint32(view.getUint32(descriptor + 148, false) * 2048 + 2, false), root);
  const files = new Map<string, string>();
  let plain = '';
  for (let at = root! * 2048, index = 0; at < root! * 2048 + length!; index++) {
    const size = volume[at]!;
    if (size === 0) {
      at = (Math.floor(at / 2048) + 1) * 2048;
      index--;
      continue;
    }
    assert.equal(size % 2, 0);
    assert.equal(view.getUint32(at + 2, true), view.getUint32(at + 6, false));
    const identifier = text(at + 33, volume[at + 32]!);
    let use = at + 33 + volume[at + 32]! + (volume[at + 32]! % 2 === 0 ? 1 : 0);
    const entries = new Map<string, number>();
    for (; use + 4 <= at + size; use += volume[use + 2]!) entries.set(text(use, 2), use);
    assert.ok(entries.has('PX'));
    if (index === 0) assert.ok(entries.has('SP') && entries.has('ER'));
    if (index > 1) {
      assert.ok(identifier > plain, 'in order');
      plain = identifier;
      const name = entries.get('NM')!;
      files.set(
        text(name + 5, volume[name + 2]! - 5),
        text(view.getUint32(at + 2, true) * 2048, view.getUint32(at + 10, true)),
      );
    }
    at += size;
  }
  return { label: text(descriptor + 40, 32).trimEnd(), files };
}

test('files of a volume can be read back, however many', () => {
  const files = Array.from({ length: 100 }, (_, i) => ({
    name: `file-${i}.with-a_long.name`,
    content: Buffer.from(`${i}`.repeat(i * 50)),
  }));
  const volume = writeIso9660('LABEL', files);
  const read = readVolume(volume);
  assert.equal(read.label, 'LABEL');
  assert.deepEqual(
    [...read.files],
    files.map(({ name, content }) => [name, content.toString()]),
  );
  assert.deepEqual(writeIso9660('LABEL', files), volume);
  assert.throws(() => writeIso9660('x', [{ name: 'a/b', content: new Uint8Array() }]), { kind: 'internal' });
});

const seed = noCloudSeed({ userData: Buffer.from('#cloud-config\n{}\n'), instance: 'i-1', hostname: 'a"b' });

test('a seed has the label and the files that cloud-init looks for', () => {
  const { label, files } = readVolume(seed);
  assert.equal(label, 'cidata');
  assert.equal(files.get('user-data'), '#cloud-config\n{}\n');
  assert.deepEqual(JSON.parse(files.get('meta-data')!), { 'instance-id': 'i-1', 'local-hostname': 'a"b' });
  assert.throws(() => noCloudSeed({ userData: new Uint8Array(), instance: 'x' }), { kind: 'usage' });
});

const hasBlkid = spawnSync('blkid', ['-V']).error === undefined;
test('the host’s blkid finds it by its label', { skip: !hasBlkid }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'virts-seed-'));
  try {
    writeFileSync(join(directory, 'seed.iso'), seed);
    const { stdout } = spawnSync('blkid', ['-p', '-o', 'export', join(directory, 'seed.iso')]);
    assert.match(stdout.toString(), /^LABEL=cidata$/m);
    assert.match(stdout.toString(), /^TYPE=iso9660$/m);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
