import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

/** What a thread whose stack has this many MiB measures; rejects with what it throws. */
function measured(stackSizeMb: number): Promise<{ measured: number; budget: number }> {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ measureStack, stackBudget }) => {
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
      parentPort.postMessage({ measured: measureStack(memory, 64), budget: stackBudget(memory, 64) });
    });`;
  const module = new URL('./host-stack.ts', import.meta.url).href;
  const worker = new Worker(code, { eval: true, workerData: module, resourceLimits: { stackSizeMb } });
  return new Promise<{ measured: number; budget: number }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  }).finally(() => worker.terminate());
}

test('what guest calls may take follows from the stack that a thread has, with room to spare', async () => {
  const MIB = 1024 * 1024;
  const small = await measured(1);
  const large = await measured(4);
  assert.ok(small.measured > MIB / 2 && small.measured < MIB, `${small.measured}`);
  assert.ok(large.measured > 3 * MIB && large.measured < 4 * MIB, `${large.measured}`);
  assert.ok(small.budget > 64 * 1024 && small.budget < small.measured / 2, `${small.budget}`);
  assert.ok(large.budget > 4 * small.budget && large.budget < large.measured / 2, `${large.budget}`);
});

test('a thread with hardly any stack leaves nothing for guest calls', async () => {
  assert.equal((await measured(0.4)).budget, 0);
});
