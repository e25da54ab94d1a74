/** What befalls images while a machine uses them: a host that is full, a file that is deleted, one that is cut off. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execPath } from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { BLOCK_OPERATION, BLOCK_RESULT } from '../devices/block-port.ts';
import { diskHandler } from './disk-service.ts';
import { openDisk } from './open-disk.ts';
import { qemuImg, temporaryDirectory } from './qemu.test-helper.ts';

const directory = temporaryDirectory();
const { read, write, flush } = BLOCK_OPERATION;

/** A disk as a guest uses it, and what the user is told. */
async function served(path: string) {
  const disk = await openDisk({ path });
  const said: string[] = [];
  const handle = diskHandler(disk, { report: (line) => said.push(line), signal: new AbortController().signal });
  const memory = new Uint8Array(new SharedArrayBuffer(4096));
  const ask = (operation: number, position = 0) =>
    new Promise<number>((answer) => {
      const spans = operation === flush ? [] : [memory];
      handle({ operation, position, count: spans.length * 4096, spans, reply: [], answer });
    });
  return { disk, said, memory, ask };
}

async function images(): Promise<string[]> {
  const raw = join(directory, 'disk.raw');
  writeFileSync(raw, Buffer.alloc(2 ** 20, 1));
  const qcow2 = join(directory, 'disk.qcow2');
  await qemuImg('convert', '-O', 'qcow2', raw, qcow2);
  return [raw, qcow2];
}

test('an image that is deleted under a machine serves on, and the user is told once how to keep it', async () => {
  for (const path of await images()) {
    const { disk, said, memory, ask } = await served(path);
    rmSync(path);
    memory.fill(7);
    assert.equal(await ask(write, 4096), BLOCK_RESULT.ok);
    assert.equal(await ask(flush), BLOCK_RESULT.ok);
    assert.equal(await ask(flush), BLOCK_RESULT.ok);
    memory.fill(0);
    assert.equal(await ask(read, 4096), BLOCK_RESULT.ok);
    assert.deepEqual([memory[0], memory[4095]], [7, 7]);
    assert.equal(said.length, 1);
    assert.match(said[0]!, /was deleted while a machine uses it; .* copy \/proc\/\d+\/fd\/\d+ before\.$/);
    const [copy] = /\/proc\/\d+\/fd\/\d+/.exec(said[0]!)!;
    assert.ok(statSync(copy).size >= 2 ** 20);
    await disk.close();
  }
});

test('an image that is cut off under a machine gives errors, not zeros', async () => {
  for (const path of await images()) {
    const { disk, said, memory, ask } = await served(path);
    memory.fill(7);
    assert.equal(await ask(write, 4096), BLOCK_RESULT.ok);
    truncateSync(path, path.endsWith('raw') ? 300_000 : 400_000);
    assert.equal(await ask(read, 800_000 - (800_000 % 512)), BLOCK_RESULT.failed);
    for (const operation of [read, write, flush]) assert.equal(await ask(operation), BLOCK_RESULT.failed);
    assert.equal(said.length, 1);
    assert.match(said[0]!, /^The disk image .* was cut off while a machine uses it.*\.$/);
    await assert.rejects(disk.close(), /was cut off/);
  }
});

test('a flush finds out that an image was cut off', async () => {
  for (const path of await images()) {
    const { disk, ask } = await served(path);
    truncateSync(path, 65536);
    assert.equal(await ask(flush), BLOCK_RESULT.failed);
    await assert.rejects(disk.close(), /was cut off/);
  }
});

/** A file system of a few megabytes takes a mount, in a name space of its own. */
const UNSHARE = ['--map-root-user', '--mount'];
const mayMount = spawnSync('unshare', [...UNSHARE, 'mount', '-t', 'tmpfs', 'tmpfs', directory]).status === 0;

test('when the host is full a guest waits, nothing is lost, and the image stays sound', {
  skip: mayMount ? false : 'this host lets nobody mount',
}, async () => {
  const helper = join(import.meta.dirname, 'full.test-helper.ts');
  const script = 'mount -t tmpfs -o size=6m tmpfs "$1" && "$2" "$3" "$1" && qemu-img check -q "$1/disk.qcow2"';
  const args = [...UNSHARE, 'sh', '-c', script, 'sh', directory, execPath, helper];
  const { stdout } = await promisify(execFile)('unshare', args);
  assert.match(
    stdout,
    /^The host has no room for what the guest writes to .*: its disk is full\. The guest waits .*\n/,
  );
  assert.match(stdout, /\nall \d+ pieces are there\n$/);
});
