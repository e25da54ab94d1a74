/** A short round of what `npm run soak:stress` does for long, and what it makes of a guest that is not well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheDirectory } from '../src/images/apt/cache.ts';
import { SILENT } from '../src/images/apt/progress.ts';
import { SAYS } from './stress-guest.ts';
import { judgeStress, runStress } from './stress-run.ts';

const SECONDS = 4;

test('stress-ng on two vCPUs: no lock-up, no wrong result, no complaint', async () => {
  const source = { cache: cacheDirectory(), signal: new AbortController().signal, progress: SILENT };
  const stressors = '--cpu 1 --vm 1 --vm-bytes 16M --fork 1 --futex 1 --switch 1';
  const { problems, output } = await runStress({ source, cpus: 2, seconds: SECONDS, stressors });
  assert.deepEqual(problems, [], output.slice(-3000));
});

test('a guest that is not well is found out', () => {
  const log = Array.from({ length: 120 }, (_, at) => `[    ${at}.000000] all is well`);
  const said = (...lines: readonly string[]) => judgeStress(lines.join('\r\n'), 2);
  const begins = `${SAYS.begins} 2`;
  const good = [begins, `${SAYS.status} 0`, SAYS.log, ...log, SAYS.ends];
  assert.deepEqual(said(...good), []);
  assert.deepEqual(said(...good.with(0, `${SAYS.begins} 1`)), ['it did not begin on 2 vCPUs']);
  assert.deepEqual(said(...good.with(1, `${SAYS.status} 2`)), ['stress-ng ended with status 2']);
  const lockup = '[   30.1] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!';
  assert.deepEqual(said(...good.with(9, lockup)), [lockup]);
  const wrong = 'stress-ng: fail:  [11] stress-ng-vm: detected 1 bit errors';
  assert.deepEqual(said(...good.with(1, wrong)), ['stress-ng ended with status unknown', wrong]);
  assert.deepEqual(said(begins, 'at 5.00'), [
    'stress-ng ended with status unknown',
    'it did not show its kernel’s log',
  ]);
});
