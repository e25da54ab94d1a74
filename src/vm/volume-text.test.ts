import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatVolume, parseVolume } from './volume-text.ts';

test('folders are read and written', () => {
  const cases = [
    ['.:/src', '.', '/src', false],
    ['/a:b/c:/mnt/x y:ro', '/a:b/c', '/mnt/x y', true],
    ['d:/x//y/:rw', 'd', '/x/y', false],
  ] as const;
  for (const [text, path, target, readOnly] of cases) {
    const volume = parseVolume(text);
    assert.deepEqual(volume, { path, target, readOnly });
    assert.deepEqual(parseVolume(formatVolume(volume)), volume);
  }
});

test('what is no folder is refused', () => {
  for (const text of ['', 'a', ':/x', 'a:', 'a:b', 'a:/', 'a:/..', 'a:/x/../y', 'a:/./x', 'a:/x\0', 'a:/x:rx']) {
    assert.throws(() => parseVolume(text), { kind: 'usage' }, text);
  }
});
