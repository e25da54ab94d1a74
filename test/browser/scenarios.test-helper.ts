/** Tests that every browser is to pass, isolated or not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scenarios } from './page/scenarios.ts';

export interface Page {
  /** Value of an expression, once it is resolved. */
  evaluate(expression: string): Promise<unknown>;
}

type Result<K extends keyof Scenarios> = Awaited<ReturnType<Scenarios[K]>>;

export async function play<K extends keyof Scenarios>(
  page: Page,
  name: K,
  ...args: Parameters<Scenarios[K]>
): Promise<Result<K>> {
  return (await page.evaluate(`scenarios.${name}(...${JSON.stringify(args)})`)) as Result<K>;
}

const NOT_ISOLATED =
  /^This page is not isolated from other origins, .* one thread; serve it with the headers Cross-Origin/;

/** Defines the tests. `open`: gives the page, whose address is isolated from other origins or not. */
export function scenarioTests(isolated: boolean, open: () => Page): void {
  test('what the browser lacks is known', async () => {
    const { limited, missing, isolated: found } = await play(open(), 'features');
    // What is undefined may be null on the way.
    assert.equal(missing ?? undefined, undefined);
    assert.equal(found, isolated);
    if (isolated) assert.equal(limited ?? undefined, undefined);
    else assert.match(limited ?? '', NOT_ISOLATED);
  });

  test('a guest ends its machine', async () => {
    const { end, instructions } = await play(open(), 'end');
    assert.deepEqual(end, { reason: 'debug-exit', status: 7 });
    assert.ok(Number(instructions) >= 2);
  });

  test('a machine has the life that it has in Node', async () => {
    assert.deepEqual(await play(open(), 'life'), {
      states: ['created', 'paused', 'ended'],
      said: 'hello',
      end: { reason: 'debug-exit', status: 15 },
      killed: { reason: 'killed', status: 0 },
    });
  });

  test('input comes to the guest and its output back', async () => {
    const { same, end } = await play(open(), 'echo', 500);
    assert.ok(same);
    assert.deepEqual(end, { reason: 'debug-exit', status: 15 });
  });

  test('machines do not disturb each other, and one that never returns can be stopped', async () => {
    assert.deepEqual(await play(open(), 'two'), ['abc', 'xyzlives', '!']);
  });

  test('what goes wrong is a sentence', async () => {
    const { noKernel, tooLarge, notThere, aborted } = await play(open(), 'failures');
    assert.equal(noKernel?.[0], 'bad-input');
    assert.match(noKernel?.[1] ?? '', /^a script: The file is no kernel/);
    assert.equal(tooLarge?.[0], 'usage');
    assert.match(tooLarge?.[1] ?? '', /at most \d+ MiB/);
    assert.equal(notThere?.[0], 'not-found');
    assert.match(notThere?.[1] ?? '', /guests\/none could not be fetched: the server answered 404/);
    assert.equal(aborted?.[1], 'enough');
  });

  test('the element shows what is wrong', async () => {
    const wrong: readonly (readonly [attributes: Record<string, string>, kind: string, sentence: RegExp])[] = [
      [{}, 'usage', /needs the attribute kernel/],
      [{ kernel: 'guests/none' }, 'not-found', /the server answered 404/],
      [{ kernel: 'guests/exit', memory: '8Q' }, 'usage', /The attribute memory of <virts-machine> is wrong: It takes/],
      [{ kernel: 'guests/exit', cpus: 'many' }, 'usage', /The attribute cpus of <virts-machine> is wrong: It takes/],
    ];
    for (const [attributes, kind, sentence] of wrong) {
      const shown = await play(open(), 'shown', attributes);
      assert.equal(shown.kind, kind);
      assert.match(shown.status ?? '', sentence);
    }
  });

  test('the element shows a machine from its start to its end', async () => {
    const { detail, notice, status, survives, gone } = await play(open(), 'element');
    assert.deepEqual(detail, { reason: 'debug-exit', status: 7 });
    assert.equal(status, 'The guest has ended the machine.');
    if (isolated) assert.equal(notice, '');
    else assert.match(notice ?? '', NOT_ISOLATED);
    assert.deepEqual([survives, gone], [true, true]);
  });
}
