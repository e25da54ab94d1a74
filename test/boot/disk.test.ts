/**
 * Guests that write to a disk and flush, until their monitor is killed: what they were told is stable is there, and the next one starts
 * with it. Beside that they write and discard elsewhere on the disk all the time, so that each flush has much to do and the disk's
 * tables change. `VIRTS_GUEST_KILLS=50` makes more of them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { virts } from '../../src/cli/virts.test-helper.ts';
import { openDisk } from '../../src/storage/open-disk.ts';
import { qemuCheck, qemuImg } from '../../src/storage/qemu.test-helper.ts';

const SECTOR = 512;
/** Between the sectors of two rounds: each has a cluster of its own now and then. */
const STRIDE = 129;
const ROUNDS = 12;
/** MiB of the disk, the first half of which is for the rounds. */
const DISK = 1024;
/** Each kill comes this much later than the one before after its last round, in milliseconds: at another point of what is under way. */
const LATER_MS = 37;
const MOST_LATE_MS = 500;
const KILLS = Number(env.VIRTS_GUEST_KILLS ?? 1);

const directory = mkdtempSync(join(tmpdir(), 'virts-boot-'));
after(() => rmSync(directory, { recursive: true }));

/** What writes a MiB after another to the second half of the disk, and gives every fourth of them back. */
function heavyWrites(kill: number): string {
  const at = `(${DISK / 2}+j%${DISK / 2})`;
  const write = `dd if=/bin/busybox of=/dev/vda bs=64k seek=$((${at}*16)) count=16 conv=notrunc 2>/dev/null`;
  const discard = `[ $((j%4)) != 3 ] || blkdiscard -o $((${at}*1048576)) -l 1048576 /dev/vda`;
  return `j=${kill * 61}; while :; do ${write}; ${discard}; j=$((j+1)); done`;
}

/** Runs a guest that writes round after round, from `first` on, and kills its monitor; returns the last round that was flushed. */
async function killedGuest(image: string, first: number, kill: number): Promise<number> {
  const run = virts('run', '--disk', image);
  await run.said(/virts# /);
  run.process.stdin?.write(`(${heavyWrites(kill)}) &\n`);
  const round = `printf %0${SECTOR}d $i | dd of=/dev/vda bs=${SECTOR} seek=$((i*${STRIDE})) conv=fsync 2>/dev/null; echo flushed $i`;
  run.process.stdin?.write(`i=${first}; while :; do ${round}; i=$((i+1)); done\n`);
  await run.said(new RegExp(`flushed ${first + ROUNDS - 1}\\r?\\n`));
  await setTimeout((kill * LATER_MS) % MOST_LATE_MS);
  run.process.kill('SIGKILL');
  const { stdout } = await run.ended;
  return Math.max(...[...stdout.matchAll(/flushed (\d+)\r?\n/g)].map(([, number]) => Number(number)));
}

test(`nothing that a guest has flushed is lost when its monitor is killed, ${KILLS} times`, async () => {
  const image = join(directory, 'disk.qcow2');
  await qemuImg('create', '-q', '-f', 'qcow2', image, `${DISK}M`);
  const flushed = new Set<number>();
  let first = 1;
  for (let kill = 1; kill <= KILLS; kill++) {
    const last = await killedGuest(image, first, kill);
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
