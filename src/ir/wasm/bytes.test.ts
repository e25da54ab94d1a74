import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteWriter } from './bytes.ts';

/** Reads signed LEB128. */
function decode(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = 0; i < bytes.length; i++) value |= BigInt(bytes[i] & 127) << BigInt(7 * i);
  return BigInt.asIntN(7 * bytes.length, value);
}

test('64-bit integers around every power of two', () => {
  for (let bit = 0n; bit < 64n; bit++) {
    for (const near of [-1n, 0n, 1n]) {
      for (const sign of [-1n, 1n]) {
        const value = BigInt.asIntN(64, sign * (1n << bit) + near);
        const out = new ByteWriter(1);
        out.s64(value);
        assert.equal(decode(out.done()), value);
        const length = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].find((n) => BigInt.asIntN(7 * n, value) === value);
        assert.equal(out.length, length, `${value} is written in ${length} bytes`);
      }
    }
  }
});

test('names are ASCII', () => {
  const out = new ByteWriter();
  out.name('ab');
  assert.deepEqual([...out.done()], [2, 97, 98]);
  assert.throws(() => out.name('\u00e9'), RangeError);
});
