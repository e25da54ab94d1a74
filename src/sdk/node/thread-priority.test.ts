import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

const program = `
  const { readdirSync, readFileSync } = require('node:fs');
  const { parentPort, workerData } = require('node:worker_threads');
  // Behind the name, which stands in parentheses, the 17th field is the nice value (proc(5)).
  const stat = (thread) => readFileSync('/proc/self/task/' + thread + '/stat', 'latin1');
  const nice = (thread) => Number(stat(thread).split(') ').at(-1).split(' ')[16]);
  const name = (thread) => readFileSync('/proc/self/task/' + thread + '/comm', 'latin1').trim();
  const priorities = () => readdirSync('/proc/self/task').map((thread) => [Number(thread), name(thread), nice(thread)]);
  import(workerData).then(({ lowerPriority, lowerEnginePriority }) => {
    const before = priorities();
    lowerPriority();
    const own = priorities();
    lowerEnginePriority();
    // As for a second machine.
    lowerPriority();
    lowerEnginePriority();
    parentPort.postMessage([before, own, priorities()]);
  });
`;

test('only the threads that work ahead give way', { skip: process.platform !== 'linux' }, async () => {
  const workerData = new URL('thread-priority.ts', import.meta.url).href;
  const worker = new Worker(program, { eval: true, workerData });
  const [before, own, all] = await new Promise<[number, string, number][][]>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  await worker.terminate();
  const lowered = (from: [number, string, number][], to: [number, string, number][]) =>
    to
      .filter(([thread, , nice]) => nice > (from.find(([other]) => other === thread)?.[2] ?? 20))
      .map(([, name]) => name);
  assert.equal(lowered(before, own).length, 1);
  assert.ok(lowered(own, all).length > 0);
  assert.ok(lowered(own, all).every((name) => name.includes('V8Worker')));
  const main = (of: [number, string, number][]) => of.find(([thread]) => thread === process.pid)?.[2];
  assert.equal(main(all), main(before));
  // Those that were not lowered before are all at the same distance.
  const steps = all.filter(([thread, , nice]) => nice > (before.find(([other]) => other === thread)?.[2] ?? 20));
  assert.ok(steps.every(([thread, , nice]) => nice - (before.find(([other]) => other === thread)?.[2] ?? 0) <= 5));
});
