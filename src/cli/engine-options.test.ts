import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { collectAfterStart, ENGINE_OPTIONS, engineEnvironment } from './engine-options.ts';

const home = mkdtempSync(join(tmpdir(), 'virts-test-'));
after(() => rmSync(home, { recursive: true }));

/** Limit of the heap in bytes of a thread with so much room for young objects, and for old ones. */
const LIMIT_OF_WORKER = `
  import { Worker } from 'node:worker_threads';
  const resourceLimits = { maxYoungGenerationSizeMb: 24, maxOldGenerationSizeMb: 64 };
  const worker = new Worker('setInterval(() => {}, 1000)', { eval: true, resourceLimits });
  worker.once('online', async () => {
    const { heap_size_limit: limit } = await worker.getHeapStatistics();
    await worker.terminate();
    console.log(limit);
  });`;

/** What a process says of itself at its end: one that is replaced by another says nothing. */
const TELL = `process.on('exit', () => console.error(JSON.stringify([process.execArgv, process.env.MALLOC_ARENA_MAX])));`;

/** Runs Node; returns the last line of what it wrote to either output. */
function lastLine(args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { PATH } = process.env;
  const text = execFileSync('sh', ['-c', 'exec "$@" 2>&1', 'sh', process.execPath, ...args], {
    env: { PATH, HOME: home, ...env },
    encoding: 'utf8',
  });
  return text.trimEnd().split('\n').at(-1)!;
}

test("a process that runs machines has the engine's options and environment, and the user's own", {
  skip: process.execve === undefined,
}, () => {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const tell = ['--import', `data:text/javascript,${encodeURIComponent(TELL)}`];
  const told = (env?: NodeJS.ProcessEnv) => JSON.parse(lastLine([...tell, main, 'ps'], env));
  assert.deepEqual(told(), [[...ENGINE_OPTIONS, ...tell], '1']);
  assert.deepEqual(told({ MALLOC_ARENA_MAX: '3' }), [[...ENGINE_OPTIONS, ...tell], '3']);
});

test("the user's own environment has precedence", () => {
  assert.deepEqual(engineEnvironment({ PATH: '/bin' }), { MALLOC_ARENA_MAX: '1', PATH: '/bin' });
  assert.deepEqual(engineEnvironment({ MALLOC_ARENA_MAX: '4' }), { MALLOC_ARENA_MAX: '4' });
});

test("the main thread's young generation is small, and that of each other thread what it is given", () => {
  const options = new URL('engine-options.ts', import.meta.url).href;
  const limit = (before: string) =>
    Number(lastLine([...ENGINE_OPTIONS, '--input-type=module', '--eval', `${before};${LIMIT_OF_WORKER}`]));
  const given = limit(`(await import(${JSON.stringify(options)})).endOwnLimits()`);
  // Three times the size of a half: 8 MiB of the 24, and 2.
  assert.equal(given - limit(''), 3 * (8 - 2) * 2 ** 20);
});

test('what starting a machine left is collected, where V8 was told to let it', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const before = globalThis.gc;
  t.after(() => {
    globalThis.gc = before;
  });
  globalThis.gc = undefined;
  collectAfterStart();
  t.mock.timers.tick(60_000);
  let collections = 0;
  Object.assign(globalThis, { gc: () => collections++ });
  collectAfterStart();
  assert.equal(collections, 0);
  t.mock.timers.tick(60_000);
  assert.equal(collections, 1);
  const program = 'gc({ type: "major", execution: "sync", flavor: "last-resort" }); console.log("collected")';
  assert.equal(lastLine([...ENGINE_OPTIONS, '--eval', program]), 'collected');
});
