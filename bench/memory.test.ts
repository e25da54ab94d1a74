import assert from 'node:assert/strict';
import { test } from 'node:test';
import { monitorOverhead, peakMemory, processorTime, threadSeconds } from './memory.ts';

test('the overhead is what the process had at most, without the memory of its guest', () => {
  const log = 'virts: regions: made 3\nvirts: resident guest memory (KiB): 102400\nvirts: run time (s): 3.0\n';
  assert.equal(monitorOverhead(307_200, log), 200);
});

test('where either figure is missing there is none', () => {
  assert.equal(monitorOverhead(undefined, 'virts: resident guest memory (KiB): 1'), undefined);
  assert.equal(monitorOverhead(1, ''), undefined);
  assert.equal(peakMemory(undefined), undefined);
});

test('processor time is read behind names with spaces and parentheses', () => {
  const fields = ['S', 1, 1, 1, 0, -1, 0, 10, 0, 0, 0, 250, 50, 0, 0].join(' ');
  assert.equal(threadSeconds(`7 (a) b) ${fields}`), 3);
  assert.equal(processorTime(undefined), undefined);
});
