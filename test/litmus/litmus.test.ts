/**
 * Threads that run guest code over one memory see one another's stores as processors do. Only what no processor may show
 * fails a test; how much of the rest turns up is a matter of luck.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createLitmus, type Litmus } from './litmus.ts';
import { AT, MOST_ROUNDS, MOST_THREADS } from './memory.ts';
import { COUNTING, LITMUS } from './programs.ts';
import { WAYS } from './thread.test-helper.ts';

/** How many times as many rounds there are as usual, by the environment: 1 if it says nothing. */
const SCALE = Math.max(1, Math.floor(Number(process.env.LITMUS_SCALE ?? 1)) || 1);
const ROUNDS = 4000 * SCALE;
const ROUNDS_THAT_WAIT = 300 * SCALE;
/** Four threads on two processors mostly wait for their turns. */
const ROUNDS_OF_FOUR = 500 * SCALE;

/** The sizes of the runs that make so many rounds: memory holds the results of a few only. */
function* batches(rounds: number): Generator<number> {
  for (let left = rounds; left > 0; left -= MOST_ROUNDS) yield Math.min(left, MOST_ROUNDS);
}

let litmus: Litmus;
before(async () => {
  litmus = await createLitmus(MOST_THREADS);
});
after(() => litmus.close());

for (const [way, name] of WAYS.entries()) {
  describe(name, () => {
    for (const { name, threads, forbidden } of LITMUS) {
      test(name, async () => {
        const rounds = threads.length > 2 ? ROUNDS_OF_FOUR : ROUNDS;
        for (const batch of batches(rounds)) {
          const results = await litmus.run(threads, batch, way === 1);
          assert.deepEqual(results.filter(forbidden), []);
        }
      });
    }
    for (const { name, body, waits, offset = 0, total } of COUNTING) {
      test(name, async () => {
        const places = (text: string) =>
          text.replaceAll('C', String(AT.counter)).replaceAll('L', String(AT.counter + 64));
        const program = places(body);
        const rounds = waits === true ? ROUNDS_THAT_WAIT : ROUNDS;
        for (const batch of batches(rounds)) {
          for (const word of [-1, 0, 1, 2, 16]) litmus.write(AT.counter + 4 * word, 0);
          await litmus.run([program, program], batch, way === 1);
          assert.equal(litmus.read(AT.counter + offset), total(batch, 2));
        }
      });
    }
  });
}
