/**
 * Guests that write to a disk and flush, until their monitor is killed: what they were told is stable is there, and the next one starts
 * with it. `VIRTS_GUEST_KILLS=50` makes more of them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { after, test } from 'node:test';
import { virts } from '../../src/cli/virts.test-helper.ts';
import { openDisk } from '../../src/storage/open-disk.ts';
import { qemuCheck, qemuImg } from '../../src/storage/qemu.test-helper.ts';

const SECTOR = 512;
/** Between the sectors of two rounds: each has a cluster of its own now and then. */
const STRIDE = 129;
const ROUNDS = 12;
const KILLS = Number(env.VIRTS_GUEST_KILLS ?? 1);

const directory = mkdtempSync(join(tmpdir(), 'virts-boot-'));
after(() => rmSync(directory, { recursive: true }));

/** Runs a guest that writes round after round, from `first` on, and kills its monitor; returns the last round that was flushed. */
async function killedGuest(image: string, first: number): Promise<number> {
  const run = virts('run', '--disk', image);
  await run.said(/virts# /);
  const round = `printf %0${SECTOR}d $i | dd of=/dev/vda bs=${SECTOR} seek=$((i*${STRIDE})) conv=fsync 2>/dev/null; echo flushed $i`;
  run.process.stdin?.write(`i=${first}; while :; do ${round}; i=$((i+1)); done\n`);
  await run.said(new RegExp(`flushed ${first + ROUNDS - 1}\\r?\\n`));
  run.process.kill('SIGKILL');
  const { stdout } = await run.ended;
  return Math.max(...[...stdout.matchAll(/flushed (\d+)\r?\n/g)].map(([, number]) => Number(number)));
}

test(`nothing that a guest has flushed is lost when its monitor is killed, ${KILLS} times`, async () => {
  const image = join(directory, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, '256M');
  const flushed = new Set<number>();
  let first = 1;
  for (let kill = 1; kill <= KILLS; kill++) {
    const last = await killedGuest(image, first);
    for (let i = first; i <= last; i++) flushed.add(i);
    const { corruptions, errors } = await qemuCheck(image);
    assert.deepEqual([corruptions, errors], [0, 0]);
    const disk = await openDisk({ path: image });
    for (const i of flushed) {
      const bytes = Buffer.alloc(SECTOR);
      await disk.read(i * STRIDE * SECTOR, [bytes]);
      assert.equal(bytes.toString('latin1'), String(i).padStart(SECTOR, '0'), `round ${i} after ${kill} kills`);
    }
    await disk.close();
    // The round that was under way may be there or not.
    first = last + 2;
  }
});
