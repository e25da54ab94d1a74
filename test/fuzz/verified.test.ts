/** Random programs, every run of their regions checked against the interpreter. */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { test } from 'node:test';
import { VirtsError } from '../../src/base/errors.ts';
import { createRandom } from '../../tools/corpus/prng.ts';
import { generate, LAYOUT } from './generator.ts';
import { createPair } from './pair.ts';

const PROGRAMS = Number(env.VIRTS_FUZZ_PROGRAMS ?? 300);
const FIRST = Number(env.VIRTS_FUZZ_SEED ?? 1);
/** Instructions that a program may take at most. */
const MOST = 3000;

test(`regions of random programs do what the interpreter does (${PROGRAMS} from seed ${FIRST})`, () => {
  const pair = createPair({ threshold: 1, verify: { first: 0, every: 1 } });
  const random = createRandom(0, 0, 0);
  for (let seed = FIRST; seed < FIRST + PROGRAMS; seed++) {
    random.reseed(seed, 0, 0);
    const lines = generate(random);
    const origin = LAYOUT.code + 0x2000 * (seed % 16) + 0x10 * (seed % 64);
    try {
      const { differences } = pair.run(lines, seed, origin, MOST);
      assert.deepEqual(differences, [], `seed ${seed}`);
    } catch (error) {
      if (!(error instanceof VirtsError)) throw error;
      assert.fail(`seed ${seed}: ${error.message}\n  ${lines.join('\n  ')}`);
    }
  }
  const { 'entries verified': entries = 0 } = pair.stats();
  if (PROGRAMS >= 100) assert.ok(entries > 10 * PROGRAMS, `${entries} runs of regions`);
});
