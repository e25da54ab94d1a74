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

const ROUNDS = 4000;
assert.ok(ROUNDS <= MOST_ROUNDS);
const ROUNDS_THAT_WAIT = 300;
/** Four threads on two processors mostly wait for their turns. */
const ROUNDS_OF_FOUR = 500;

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
        const results = await litmus.run(threads, rounds, way === 1);
        assert.deepEqual(results.filter(forbidden), []);
      });
    }
    for (const { name, body, waits, offset = 0, total } of COUNTING) {
      test(name, async () => {
        for (const word of [-1, 0, 1, 2, 16]) litmus.write(AT.counter + 4 * word, 0);
        const places = (text: string) =>
          text.replaceAll('C', String(AT.counter)).replaceAll('L', String(AT.counter + 64));
        const program = places(body);
        const rounds = waits === true ? ROUNDS_THAT_WAIT : ROUNDS;
        await litmus.run([program, program], rounds, way === 1);
        assert.equal(litmus.read(AT.counter + offset), total(rounds, 2));
      });
    }
  });
}
