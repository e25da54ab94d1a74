import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBreakpoints } from './breakpoints.ts';

test('Only its linear address stops, every address with its page offset begins a block', () => {
  const breakpoints = createBreakpoints();
  const addresses = new Set([0xffff_ffff_8100_0abcn]);
  breakpoints.set(addresses);
  addresses.clear();
  assert.equal(breakpoints.at(0xffff_ffff_8100_0abcn), true);
  assert.equal(breakpoints.at(0x0100_0abcn), false);
  assert.equal(breakpoints.separates(0xabc), true);
  assert.equal(breakpoints.separates(0xabd), false);
});

test('A new set replaces the old one', () => {
  const breakpoints = createBreakpoints();
  breakpoints.set(new Set([0x1000n, 0x1fffn]));
  breakpoints.set(new Set([0x1fffn]));
  assert.deepEqual([breakpoints.at(0x1000n), breakpoints.separates(0)], [false, false]);
  assert.deepEqual([breakpoints.at(0x1fffn), breakpoints.separates(0xfff)], [true, true]);
});
