import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readVolume, wholeDisk } from '../../storage/iso9660.test-helper.ts';
import { noCloudSeed } from './no-cloud.ts';

const seed = await wholeDisk(
  noCloudSeed({ userData: Buffer.from('#cloud-config\n{}\n'), instance: 'i-1', hostname: 'a"b' }),
);

test('a seed has the label and the files that cloud-init looks for', () => {
  const { label, files } = readVolume(seed);
  assert.equal(label, 'cidata');
  assert.equal(String(files.get('user-data')), '#cloud-config\n{}\n');
  assert.deepEqual(JSON.parse(String(files.get('meta-data'))), { 'instance-id': 'i-1', 'local-hostname': 'a"b' });
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
