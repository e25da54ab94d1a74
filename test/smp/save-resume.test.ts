/** Machines in threads are saved at points that follow from seeds, put back into fresh threads, and go on as if nothing had been. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_TRANSLATION, type Translation } from '../../src/engine/translated/vcpu-interface.ts';
import { PROGRAMS, PROGRAMS_OF_FOUR, SCALE, type SeveralProgram } from './programs.ts';
import { severalKernel } from './several.ts';
import { numbers, runThreaded } from './threaded.ts';

/** Instructions between two saves: at most so many, and the number of saves. */
const SPAN = 200_000;
const SAVES = SCALE;

/** Runs a program with pauses in snapshots; how it ended, and how often it was saved. */
async function saved(program: SeveralProgram, translation: Translation | undefined, seed: number) {
  const cpus = program.count ?? 2;
  const random = numbers(seed);
  let snapshot: Uint8Array | undefined;
  let at = 0;
  for (let saves = 0; ; saves++) {
    at += 1 + random(SPAN);
    const from =
      snapshot === undefined
        ? { boot: { kernel: severalKernel(program), initrd: undefined, commandLine: '' } }
        : { snapshot };
    const save = saves < SAVES ? { thread: random(cpus), at } : undefined;
    const told = await runThreaded({ cpus, translation, ...from, save });
    if (told.kind !== 'saved') return { told, saves };
    ({ snapshot } = told);
    at = told.retired;
  }
}

describe('saved and resumed in threads', { concurrency: false }, () => {
  for (const [index, program] of [...PROGRAMS, ...PROGRAMS_OF_FOUR].entries()) {
    const translation = index % 2 === 0 ? DEFAULT_TRANSLATION : undefined;
    test(`${program.name}, ${translation === undefined ? 'interpreted' : 'translated'}`, async () => {
      const { told, saves } = await saved(program, translation, 0x9e3779b9 + index);
      assert.deepEqual(told, { kind: 'ended', end: { reason: 'debug-exit', status: 1 }, output: '' });
      assert.ok(saves > 0, 'it was never saved');
    });
  }
});
