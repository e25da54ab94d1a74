import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCorpus, readForms } from '../../tools/corpus/format.ts';
import { groups, isLocked, MOST_SHOWN, readGroup as read } from './corpus-files.ts';
import { createReplay } from './replay.ts';

const replay = createReplay();
const shared = createReplay(undefined, true);

for (const group of groups) {
  test(`${group}: the interpreter does what the hardware did`, () => {
    const differences: string[] = [];
    for (const recorded of readCorpus(read(group))) {
      const found = replay.run(recorded);
      if (isLocked(recorded)) found.push(...shared.run(recorded));
      if (found.length === 0) continue;
      const { form, number, bytes } = recorded;
      differences.push(`${form.id}, case ${number}, ${Buffer.from(bytes).toString('hex')}\n  ${found.join('\n  ')}`);
      if (differences.length === MOST_SHOWN) break;
    }
    assert.deepEqual(differences, []);
  });
}

test('a difference is noticed', () => {
  for (const recorded of readCorpus(read('arithmetic'))) {
    if (recorded.expected.fault !== undefined) continue;
    const { image } = recorded.expected;
    image.setUint8(0, image.getUint8(0) ^ 1);
    const [first = ''] = replay.run(recorded);
    assert.match(first, /^rax: expected/);
    return;
  }
  assert.fail('no case without a fault');
});

test('every form has enough cases', () => {
  for (const group of groups) {
    for (const form of readForms(read(group))) {
      const cases = form.encodings.reduce((sum, encoding) => sum + encoding.cases, 0);
      assert.ok(cases >= 30, `${form.id}: ${cases} cases`);
    }
  }
});
