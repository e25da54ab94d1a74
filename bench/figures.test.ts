import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statisticsLines } from '../src/cli/statistics.ts';
import { lastFigures } from './figures.ts';

const printed = (retired: number): string =>
  statisticsLines(
    {
      ...{ regions: 5, 'regions dropped': 2, 'regions live': 3, flushes: 1 },
      ...{ 'instructions interpreted': 10, 'instructions in regions': 90, 'instructions retired': retired },
    },
    2,
  )
    .map((line) => `virts: ${line}\n`)
    .join('');

test('the last complete figures count', () => {
  const log = `virts: hello\n${printed(100)}noise\n${printed(200)}${printed(300).slice(0, -9)}`;
  assert.equal(lastFigures(log.slice(0, 40)), undefined);
  const figures = lastFigures(
    `${printed(100)}noise\n${printed(200)}${printed(300).split('\n').slice(0, 3).join('\n')}`,
  );
  assert.equal(figures?.value('instructions retired'), 200);
  assert.equal(figures?.value('regions', 'live'), 3);
  assert.equal(figures?.value('instructions by tier', 'interpreted'), 10);
  assert.equal(figures?.value('times the cache of blocks was emptied'), 1);
  assert.ok(Number.isNaN(figures?.value('nonsense')));
  assert.ok(Number.isNaN(figures?.value('regions', 'nonsense')));
});
