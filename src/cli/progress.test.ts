import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { drawStep, showProgress } from './progress.ts';

function recorder(): { output: Writable; text: () => string } {
  let text = '';
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { output, text: () => text };
}

test('a pipe gets one line a step', () => {
  const { output, text } = recorder();
  const progress = showProgress(output);
  const step = progress.step('kernel', 26_700_000);
  for (let at = 0; at < 100; at++) step.advance(267_000);
  step.end();
  progress.warn('Careful.');
  assert.equal(text(), 'virts: kernel (26.7 MB)\nvirts: Careful.\n');
});

test('a terminal gets a line that redraws itself and is gone at the end', () => {
  const { output, text } = recorder();
  const step = showProgress(Object.assign(output, { isTTY: true, columns: 40 })).step('kernel', 100);
  step.advance(100);
  step.end();
  assert.match(text(), /kernel/);
  assert.ok(text().endsWith('\r\x1b[K'));
  assert.ok(!text().includes('\n'));
});

test('a bar fits its line and its bounds', () => {
  assert.equal(
    drawStep({ label: 'kernel', total: 2e6, done: 1e6 }, 80),
    'kernel  [############............]  50 % of 2.0 MB',
  );
  assert.match(drawStep({ label: 'kernel', total: 10, done: 99 }, 80), /100 %/);
  assert.equal(drawStep({ label: 'kernel', total: 10, done: 5 }, 20).length, 20);
});
