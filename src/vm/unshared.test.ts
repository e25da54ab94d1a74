import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

const CODE = `
  const { parentPort, workerData } = require('node:worker_threads');
  delete globalThis.SharedArrayBuffer;
  import(workerData.helper).then(async ({ bootTiny, GUESTS }) => {
    const { machine, output } = bootTiny(GUESTS.echo, { translation: { threshold: 1 } });
    for (const text of ['unshared', 'q']) {
      for (let rest = new TextEncoder().encode(text); rest.length > 0; ) {
        machine.advanceInstructions(1000);
        rest = rest.subarray(machine.input(rest));
      }
    }
    let progress;
    for (let i = 0; i < 1000 && progress?.kind !== 'ended'; i++) progress = machine.advanceInstructions(1000);
    const { createSharedMemory } = await import(workerData.memory);
    const isPlain = createSharedMemory().buffer instanceof ArrayBuffer;
    parentPort.postMessage({ output: output(), end: progress.end, regions: machine.stats().regions, isPlain });
  });`;

/** As in a page that is not isolated from other origins. */
test('a machine runs and translates where threads cannot share memory', async () => {
  const [helper, memory] = ['./tiny-kernel.test-helper.ts', '../memory/layout.ts'].map(
    (path) => new URL(path, import.meta.url).href,
  );
  const worker = new Worker(CODE, { eval: true, workerData: { helper, memory } });
  const result = await new Promise<{ output: string; end: unknown; regions: number; isPlain: boolean }>(
    (resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    },
  ).finally(() => worker.terminate());
  assert.ok(result.isPlain);
  assert.equal(result.output, 'unshared');
  assert.deepEqual(result.end, { reason: 'debug-exit', status: 15 });
  assert.ok(result.regions > 0, 'code was translated');
});
