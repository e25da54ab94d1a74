import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createRingBuffer, openRing } from '../base/ring.ts';
import { REGISTER } from '../devices/local-apic/registers.ts';
import { openBoard, type SharedBoard, VCPUS, type VcpuJob, type VcpuReport } from './threads-worker.test-helper.ts';

const ROUNDS = 400;

function start(job: VcpuJob): Promise<VcpuReport> {
  const worker = new Worker(new URL('threads-worker.test-helper.ts', import.meta.url), { workerData: job });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

test('two vCPUs in threads of their own: timers, IPIs and serial output under one lock', async () => {
  const shared: SharedBoard = {
    structs: new SharedArrayBuffer(1 << 20),
    word: new Int32Array(new SharedArrayBuffer(4)),
    bells: new Int32Array(new SharedArrayBuffer(4 * VCPUS)),
    output: createRingBuffer(1 << 14),
  };
  const { board, lock } = openBoard(shared, -1);
  for (const { regions } of board.localApics) regions.registers.write(REGISTER.svr, 4, 0x1ff);
  const reports = Array.from({ length: VCPUS }, (_, vcpu) => start({ ...shared, vcpu, rounds: ROUNDS }));
  assert.deepEqual(await Promise.all(reports), [[], []]);
  assert.equal(lock.owner(), undefined);
  const sent = openRing(shared.output).read(1 << 14);
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
    const own = Array.from(sent).filter((byte) => byte >> 7 === vcpu);
    assert.deepEqual(
      own,
      Array.from({ length: ROUNDS }, (_, round) => (vcpu << 7) | (round & 0x7f)),
    );
  }
  // What the threads set up stands in the structs that all of them see.
  for (const { state } of board.localApics) {
    assert.equal(state.svr, 0x1ff);
    assert.deepEqual(Array.from(state.irr), new Array(8).fill(0));
    assert.deepEqual(Array.from(state.isr), new Array(8).fill(0));
  }
});
