/** All vCPUs of a machine stand still soon after somebody asks for it, whatever they execute. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_TRANSLATION } from '../../src/engine/translated/vcpu-interface.ts';
import { AT, barrier, severalKernel } from './several.ts';
import { runThreaded } from './threaded.ts';

/** Milliseconds that are allowed, and fewer rounds of the loop below than fit in there. */
const ALLOWED = 2;
const ROUNDS = 400_000;
const STOPS = 40;

/** Counts in a word of its own, and never leaves translated code by itself. */
const count = (name: string): string => `
  mov esi, ebx
  shl esi, 6
  ${name}: inc dword [esi+${AT.words}]
  jmp ${name}`;

for (const [cpus, way, translation] of [
  [2, 'interpreted', undefined],
  [2, 'translated', DEFAULT_TRANSLATION],
  [4, 'translated', DEFAULT_TRANSLATION],
] as const) {
  test(`${cpus} vCPUs in threads that compute, ${way}, stand still within what they do in ${ALLOWED} ms`, async (t) => {
    const kernel = severalKernel({
      first: `${barrier('all', 1, cpus)}${count('count0')}`,
      others: `${barrier('met', 1, cpus)}${count('count1')}`,
      count: cpus,
    });
    const boot = { kernel, initrd: undefined, commandLine: '' };
    const told = await runThreaded({ cpus, translation, boot, stops: STOPS });
    assert.ok(told.kind === 'stopped');
    const ms = told.ms.toSorted((a, b) => a - b);
    const rounds = told.rounds.toSorted((a, b) => a - b);
    t.diagnostic(`median ${ms[STOPS >> 1]?.toFixed(3)} ms, longest ${ms.at(-1)?.toFixed(3)} ms`);
    t.diagnostic(`median ${rounds[STOPS >> 1]} rounds, most ${rounds.at(-1)}`);
    // How long it takes is the host's affair too, which may have other threads run. It lets one go on unnoticed at times,
    // between the first look at the counts and the request, but not at all times.
    assert.ok(rounds[STOPS >> 1] < ROUNDS, `${rounds}`);
  });
}
