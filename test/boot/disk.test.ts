/** A guest that writes to its disk and flushes, until its monitor is killed: what it was told is stable is there. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virts } from '../../src/cli/virts.test-helper.ts';
import { openDisk } from '../../src/storage/open-disk.ts';
import { qemuCheck, qemuImg } from '../../src/storage/qemu.test-helper.ts';

const SECTOR = 512;
/** Between the sectors of two rounds: each has a cluster of its own now and then. */
const STRIDE = 129;
const ROUNDS = 12;

const directory = mkdtempSync(join(tmpdir(), 'virts-boot-'));
after(() => rmSync(directory, { recursive: true }));

test('nothing that a guest has flushed is lost when its monitor is killed', async () => {
  const image = join(directory, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '64M');
  const run = virts('run', '--disk', image);
  await run.said(/virts# /);
  const round = `printf %0${SECTOR}d $i | dd of=/dev/vda bs=${SECTOR} seek=$((i*${STRIDE})) conv=fsync 2>/dev/null; echo flushed $i`;
  run.process.stdin?.write(`i=1; while :; do ${round}; i=$((i+1)); done\n`);
  await run.said(new RegExp(`flushed ${ROUNDS}\\r?\\n`));
  run.process.kill('SIGKILL');
  const { stdout } = await run.ended;
  const flushed = Math.max(...[...stdout.matchAll(/flushed (\d+)\r?\n/g)].map(([, number]) => Number(number)));
  assert.ok(flushed >= ROUNDS);

  const { corruptions, errors } = await qemuCheck(image);
  assert.deepEqual([corruptions, errors], [0, 0]);
  const disk = await openDisk({ path: image });
  for (let i = 1; i <= flushed; i++) {
    const bytes = Buffer.alloc(SECTOR);
    await disk.read(i * STRIDE * SECTOR, [bytes]);
    assert.equal(bytes.toString('latin1'), String(i).padStart(SECTOR, '0'), `round ${i} of ${flushed}`);
  }
  await disk.close();
});
