import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { VirtsError } from '../base/errors.ts';
import { BLOCK_OPERATION, BLOCK_RESULT } from '../devices/block-port.ts';
import type { BlockDevice } from './block-device.ts';
import { type DiskServiceOptions, diskHandler } from './disk-service.ts';
import { memoryDisk } from './raw.ts';

function rig(change: Partial<BlockDevice> = {}) {
  const disk = { ...memoryDisk(1 << 20), ...change };
  const said: string[] = [];
  const stop = new AbortController();
  const clock = { now: 0 };
  const options: DiskServiceOptions = {
    ...{ report: (line) => said.push(line), signal: stop.signal },
    ...{ retryMs: 1, now: () => clock.now },
  };
  const handle = diskHandler(disk, options);
  const ask = (operation: number, position = 0, spans: Uint8Array[] = [], count = 0) =>
    new Promise<number>((answer) => handle({ operation, position, count, spans, reply: [], answer }));
  return { disk, said, stop, ask, clock };
}

const { ok, failed, unsupported } = BLOCK_RESULT;

test('operations reach the disk', async () => {
  const calls: string[] = [];
  const { ask } = rig({
    flush: async () => void calls.push('flush'),
    discard: async (...range) => void calls.push(`discard ${range}`),
    writeZeroes: async (...range) => void calls.push(`zero ${range}`),
  });
  assert.equal(await ask(BLOCK_OPERATION.write, 512, [new Uint8Array(512).fill(3)]), ok);
  assert.equal(await ask(BLOCK_OPERATION.writeThrough, 1024, [new Uint8Array(512).fill(4)]), ok);
  const into = new Uint8Array(1024);
  assert.equal(await ask(BLOCK_OPERATION.read, 512, [into.subarray(0, 100), into.subarray(100)]), ok);
  assert.deepEqual([into[0], into[511], into[512]], [3, 3, 4]);
  assert.equal(await ask(BLOCK_OPERATION.flush), ok);
  assert.equal(await ask(BLOCK_OPERATION.discard, 4096, [], 8192), ok);
  assert.equal(await ask(BLOCK_OPERATION.zeroAndUnmap, 0, [], 512), ok);
  assert.equal(await ask(BLOCK_OPERATION.zeroInPlace, 0, [], 512), ok);
  assert.equal(await ask(99), unsupported);
  assert.deepEqual(calls, ['flush', 'flush', 'discard 4096,8192', 'zero 0,512,true', 'zero 0,512,false']);
});

test('a full host makes the guest wait, and the user is told once', async () => {
  let room = 3;
  const { ask, said } = rig({
    async write() {
      if (room-- > 0) throw new VirtsError('no-space', 'The disk is full.');
    },
  });
  assert.equal(await ask(BLOCK_OPERATION.write, 0, [new Uint8Array(512)]), ok);
  assert.deepEqual(said, ['The disk is full. The guest waits until there is room.']);
});

test('a host that is full another day is told of again', async () => {
  let room = 1;
  const { ask, said, clock } = rig({
    async write() {
      if (room-- > 0) throw new VirtsError('no-space', 'The disk is full.');
    },
  });
  for (const [now, times] of [
    [0, 1],
    [1000, 1],
    [86_400_000, 2],
  ] as const) {
    clock.now = now;
    room = 1;
    assert.equal(await ask(BLOCK_OPERATION.write, 0, [new Uint8Array(512)]), ok);
    assert.equal(said.length, times);
  }
});

test('a machine that stops does not wait for room', async () => {
  const { ask, said, stop } = rig({
    write: () => Promise.reject(new VirtsError('no-space', 'The disk is full.')),
  });
  const answer = ask(BLOCK_OPERATION.write, 0, [new Uint8Array(512)]);
  await setImmediate();
  stop.abort();
  assert.equal(await answer, failed);
  assert.deepEqual(said, ['The disk is full. The guest waits until there is room.']);
});

test("other failures are the guest's to handle, and the user hears of each kind once", async () => {
  const { ask, said } = rig({
    read: () => Promise.reject(new VirtsError('io', 'The disk broke.')),
    flush: () => Promise.reject(new Error('oops')),
  });
  for (let i = 0; i < 2; i++) {
    assert.equal(await ask(BLOCK_OPERATION.read, 0, [new Uint8Array(512)]), failed);
    assert.equal(await ask(BLOCK_OPERATION.flush), failed);
  }
  assert.deepEqual(said, ['The disk broke.', 'Virts met a defect of its own: oops']);
});
