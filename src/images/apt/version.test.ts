import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions } from './version.ts';

test('versions compare as Debian Policy 5.6.12 says', () => {
  const ascending = [
    '0.9',
    '1.0~~',
    '1.0~~a',
    '1.0~',
    '1.0~rc1',
    '1.0',
    '1.0-1',
    '1.0-1+deb12u1',
    '1.0-1+deb12u2',
    '1.0-1+deb12u10',
    '1.0a',
    '1.0+b1',
    '1.0.1',
    '1.9',
    '1.010',
    '6.1.176-1',
    '6.1.192-2',
    '1:0.1',
    '2:0',
  ];
  for (const [i, a] of ascending.entries()) {
    for (const [j, b] of ascending.entries()) assert.equal(compareVersions(a, b), Math.sign(i - j), `${a} ${b}`);
  }
});

test('leading zeros and a missing revision make no difference', () => {
  assert.equal(compareVersions('1.07', '1.7'), 0);
  assert.equal(compareVersions('0:1.7', '1.7'), 0);
  assert.equal(compareVersions('1.7-0', '1.7'), 0);
});
