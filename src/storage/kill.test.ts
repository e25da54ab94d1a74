/** Processes that are killed while they write to an image: what they had flushed is there, and the image is sound. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { test } from 'node:test';
import { contentOf, sectorsOf } from './kill.test-helper.ts';
import { openDisk } from './open-disk.ts';
import { qemuCheck, qemuImg, temporaryDirectory } from './qemu.test-helper.ts';

/** `VIRTS_KILLS=50` makes more of them. */
const KILLS = Number(env.VIRTS_KILLS ?? 4);
const directory = temporaryDirectory();
const HELPER = join(import.meta.dirname, 'kill.test-helper.ts');

/** Runs a writer and kills it when it has flushed `rounds` times; returns the last round that it says it flushed. */
async function killedWriter(path: string, seed: number, rounds: number): Promise<number> {
  const child = spawn(execPath, [HELPER, path, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const chunk of child.stdout) {
    output += chunk;
    if (Number(output.trim().split('\n').at(-1)) >= rounds) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.signalCode, 'SIGKILL');
  // The last line may be cut off.
  return Number(output.slice(0, output.lastIndexOf('\n')).trim().split('\n').at(-1));
}

test(`${KILLS} kills during writes with flushes lose nothing that was flushed`, async () => {
  for (let kill = 1; kill <= KILLS; kill++) {
    const path = join(directory, `${kill}.qcow2`);
    await qemuImg('create', '-q', '-f', 'qcow2', '-o', `cluster_size=${['64k', '4k'][kill % 2]}`, path, '1G');
    const flushed = await killedWriter(path, kill, 5 + ((kill * 37) % 120));
    const { corruptions, errors } = await qemuCheck(path);
    assert.deepEqual([corruptions, errors], [0, 0]);
    const disk = await openDisk({ path });
    for (let round = 1; round <= flushed; round++) {
      for (const sector of sectorsOf(kill, round, disk.size / 512)) {
        const bytes = new Uint8Array(512);
        await disk.read(sector * 512, [bytes]);
        assert.deepEqual(bytes, contentOf(round, sector), `round ${round} of ${flushed}, sector ${sector}`);
      }
    }
    await disk.write(0, [new Uint8Array(512)]);
    await disk.close();
    assert.equal((await qemuCheck(path)).corruptions, 0);
  }
});
