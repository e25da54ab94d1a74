/**
 * Linux with stress-ng at work, on two vCPUs in threads, saved at seeded points, put back into fresh threads each time, and run
 * on to its end. `npm run soak:smp` runs it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { stressGuest } from '../../bench/stress-guest.ts';
import { judgeStress } from '../../bench/stress-run.ts';
import { DEFAULT_TRANSLATION } from '../../src/engine/translated/vcpu-interface.ts';
import { cacheDirectory } from '../../src/images/apt/cache.ts';
import { SILENT } from '../../src/images/apt/progress.ts';
import { numbers, type Outcome, runThreaded } from './threaded.ts';

const SAVES = 6;
/** Instructions between two of them, at most. */
const SPAN = 600_000_000;
const CPUS = 2;
/** Ends by the work done, not by time, of which a saved machine sees little. */
const COMMAND =
  'stress-ng --verify --cpu 1 --cpu-ops 20 --fork 1 --fork-ops 100 --futex 1 --futex-ops 300 --switch 1 --switch-ops 500';

test(`saved and resumed ${SAVES} times, the guest comes to its end and its kernel has nothing to complain of`, async (t) => {
  const source = { cache: cacheDirectory(), signal: new AbortController().signal, progress: SILENT };
  const { kernel, initrd, append } = await stressGuest(source, COMMAND);
  const boot = { kernel: await readFile(kernel), initrd, commandLine: append };
  const common = { cpus: CPUS, translation: DEFAULT_TRANSLATION, ram: 192 << 20, patience: 1800 };
  const random = numbers(4);
  let output = '';
  let at = 0;
  let told: Outcome | undefined;
  for (let saves = 0; told?.kind !== 'ended' && saves <= SAVES; saves++) {
    at += 1 + random(SPAN);
    const from = told?.kind === 'saved' ? { snapshot: told.snapshot } : { boot };
    const save = saves < SAVES ? { thread: random(CPUS), at } : undefined;
    told = await runThreaded({ ...common, ...from, ...(save && { save }) });
    output += told.output;
    if (told.kind === 'saved') at = told.retired;
    t.diagnostic(`${told.kind} at instruction ${at}`);
  }
  assert.deepEqual(told?.kind === 'ended' && told.end, { reason: 'power-off' }, output.slice(-2000));
  assert.deepEqual(judgeStress(output, CPUS), []);
});
