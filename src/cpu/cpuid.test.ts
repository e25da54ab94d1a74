import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4 } from '../isa/state.ts';
import { CPU_FEATURES, cpuid } from './cpuid.ts';
import { longMode, protectedMode } from './fake-context.test-helper.ts';

const bit = (value: number, index: number) => ((value >>> index) & 1) === 1;
const text = (words: readonly number[]) =>
  words.map((w) => String.fromCharCode(w & 255, (w >> 8) & 255, (w >> 16) & 255, w >>> 24)).join('');

test('every register of every leaf is unsigned', () => {
  const c = longMode();
  const leaves = [
    ...Array(0x18).keys(),
    0x40000000,
    0x40000001,
    0x40000010,
    ...Array.from({ length: 9 }, (_, i) => 0x80000000 + i),
  ];
  for (const leaf of leaves)
    for (let sub = 0; sub < 5; sub++) {
      for (const register of cpuid(c, leaf, sub))
        assert.ok(Number.isInteger(register) && register >= 0 && register < 2 ** 32, leaf.toString(16));
    }
});

test('x86-64-v2 and what stands beside it, but no AVX', () => {
  const [, , ecx, edx] = cpuid(longMode(), 1, 0);
  for (const index of [0, 9, 13, 19, 20, 23]) assert.ok(bit(ecx, index), String(index));
  for (const index of [12, 28, 29, 3, 5]) assert.ok(!bit(ecx, index), String(index));
  for (const index of [0, 4, 5, 6, 8, 9, 15, 23, 24, 25, 26]) assert.ok(bit(edx, index), String(index));
  assert.ok(!CPU_FEATURES.has('avx') && CPU_FEATURES.has('sse4.2'));
});

test('OSXSAVE and APIC follow the machine', () => {
  const c = longMode();
  assert.equal(bit(cpuid(c, 1, 0)[2], 27), false);
  c.state.cr4 |= BigInt(CR4.osxsave);
  assert.equal(bit(cpuid(c, 1, 0)[2], 27), true);
  c.apicBase = 0n;
  assert.equal(bit(cpuid(c, 1, 0)[3], 9), false);
});

test('SYSCALL is shown in 64-bit mode alone', () => {
  assert.equal(bit(cpuid(longMode(), 0x80000001, 0)[3], 11), true);
  assert.equal(bit(cpuid(protectedMode(), 0x80000001, 0)[3], 11), false);
});

test('names', () => {
  const c = longMode();
  const [, b, cc, d] = cpuid(c, 0, 0);
  assert.equal(text([b, d, cc]), 'GenuineIntel');
  assert.equal(text(cpuid(c, 0x40000000, 0).slice(1)), 'KVMKVMKVM\0\0\0');
  assert.equal(
    text([2, 3, 4].flatMap((i) => [...cpuid(c, 0x80000000 + i, 0)])).replaceAll('\0', ''),
    'Virts x86-64 processor',
  );
});

test('the frequency of the TSC, three times the same', () => {
  const c = longMode();
  const [denominator, numerator, crystal] = cpuid(c, 0x15, 0);
  assert.equal((crystal * numerator) / denominator, c.clock.frequency);
  assert.equal(cpuid(c, 0x16, 0)[0], 2000);
  assert.equal(cpuid(c, 0x40000010, 0)[0], 2_000_000);
});

test('topology of four cores', () => {
  const c = { ...longMode(), topology: { apicId: 3, count: 4 } };
  assert.deepEqual(cpuid(c, 0xb, 0), [0, 1, 0x100, 3]);
  assert.deepEqual(cpuid(c, 0xb, 1), [2, 4, 0x201, 3]);
  assert.equal(cpuid(c, 4, 0)[0] >>> 26, 3);
  assert.equal((cpuid(c, 4, 3)[0] >>> 14) & 0xfff, 3);
  assert.equal(cpuid(c, 1, 0)[1] >>> 24, 3);
});

test('unknown leaves answer as the last basic one and are logged', () => {
  const c = longMode();
  assert.deepEqual(cpuid(c, 0x7000_0000, 0), cpuid(c, 0x16, 0));
  assert.equal(c.logged.length, 1);
});
