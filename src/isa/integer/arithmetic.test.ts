import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MEMORY, READ_ONLY, run } from './machine.test-helper.ts';
import { bitsOf, parityEven, sized, VALUES } from './model.test-helper.ts';

interface Result {
  readonly result: bigint;
  readonly flags: string;
}

/** x + y + c or x - y - c by the book, one size. */
function model(size: number, x: bigint, y: bigint, carry: bigint, subtract: boolean): Result {
  const bits = bitsOf(size);
  const signed = (v: bigint) => BigInt.asIntN(bits, v);
  const exact = subtract ? x - y - carry : x + y + carry;
  const signedExact = subtract ? signed(x) - signed(y) - carry : signed(x) + signed(y) + carry;
  const nibble = subtract ? (x & 15n) - (y & 15n) - carry : (x & 15n) + (y & 15n) + carry;
  const result = BigInt.asUintN(bits, exact);
  const flags = [
    signed(result) !== signedExact ? 'o' : '',
    signed(result) < 0n ? 's' : '',
    result === 0n ? 'z' : '',
    nibble < 0n || nibble > 15n ? 'a' : '',
    parityEven(result) ? 'p' : '',
    exact < 0n || exact >> BigInt(bits) !== 0n ? 'c' : '',
  ];
  return { result, flags: flags.join('') };
}

const BINARY = [
  { name: 'add', row: 0, subtract: false, usesCarry: false, writes: true },
  { name: 'adc', row: 2, subtract: false, usesCarry: true, writes: true },
  { name: 'sbb', row: 3, subtract: true, usesCarry: true, writes: true },
  { name: 'sub', row: 5, subtract: true, usesCarry: false, writes: true },
  { name: 'cmp', row: 7, subtract: true, usesCarry: false, writes: false },
];

for (const { name, row, subtract, usesCarry, writes } of BINARY) {
  test(`${name}: result and flags at every size`, () => {
    for (const size of [1, 2, 4, 8]) {
      for (const x of VALUES) {
        for (const y of VALUES) {
          for (const carry of [0n, 1n]) {
            const [low, other] = [BigInt.asUintN(bitsOf(size), x), BigInt.asUintN(bitsOf(size), y)];
            const want = model(size, low, other, usesCarry ? carry : 0n, subtract);
            const code = sized(size, row * 8, 'd8');
            const got = run(code, { registers: { rax: x, rbx: y }, flags: carry === 1n ? 'oc' : 'sza' });
            const stored = writes ? want.result : low;
            const upper = size === 4 && writes ? 0n : (x >> BigInt(bitsOf(size))) << BigInt(bitsOf(size));
            const about = `${code} ${x.toString(16)} ${y.toString(16)} ${carry}`;
            assert.equal(got.flags, want.flags, about);
            assert.equal(got.registers.rax, stored | upper, about);
          }
        }
      }
    }
  });
}

test('inc, dec: CF stays; neg: CF says not zero', () => {
  for (const size of [1, 2, 4, 8]) {
    for (const value of VALUES) {
      const x = BigInt.asUintN(bitsOf(size), value);
      for (const carry of ['', 'c']) {
        const group = size === 1 ? 'fe' : 'ff';
        for (const [modrm, subtract] of [
          ['c0', false],
          ['c8', true],
        ] as const) {
          const want = model(size, x, 1n, 0n, subtract);
          const got = run(sized(size, group, modrm), { registers: { rax: value }, flags: carry });
          assert.equal(got.flags, want.flags.replace('c', '') + carry, `${modrm} ${size} ${value.toString(16)}`);
          assert.equal(BigInt.asUintN(bitsOf(size), got.registers.rax as bigint), want.result);
        }
        const want = model(size, 0n, x, 0n, true);
        const got = run(sized(size, 0xf6, 'd8'), { registers: { rax: value }, flags: carry });
        assert.equal(got.flags, want.flags);
        assert.equal(BigInt.asUintN(bitsOf(size), got.registers.rax as bigint), want.result);
      }
    }
  }
});

test('forms of the row: both directions, accumulator, immediates and their sign extension', () => {
  const registers = { rax: 0x1000, rbx: 0x22 };
  assert.equal(run('02 c3', { registers }).registers.rax, 0x1022n);
  assert.equal(run('03 c3', { registers }).registers.rax, 0x1022n);
  assert.equal(run('04 ff', { registers }).registers.rax, 0x10ffn);
  assert.equal(run('05 ff ff ff ff', { registers }).registers.rax, 0xfffn);
  assert.equal(run('48 05 ff ff ff ff', { registers: { rax: 0 } }).registers.rax, 0xffff_ffff_ffff_ffffn);
  assert.equal(run('66 05 01 80', { registers }).registers.rax, 0x9001n);
  assert.equal(run('48 83 c0 80', { registers }).registers.rax, 0xf80n);
  assert.equal(run('66 83 c0 ff', { registers }).registers.rax, 0xfffn);
  assert.equal(run('82 c0 01', { registers, bits: 32 }).registers.rax, 0x1001n);
  assert.equal(run('82 c0 01', { registers }).fault, 6);
  assert.equal(run('00 e0', { registers }).registers.rax, 0x1010n, 'AH as a source');
});

test('memory: written in place, LOCK only where it is', () => {
  const memory = { 8192: [0xff, 0xff, 0xff, 0xff, 7] };
  const locked = run('f0 01 03', { registers: { rax: 2, rbx: 0x2000 }, memory });
  assert.equal(locked.at(0x2000, 5), 0x07_0000_0001n);
  assert.equal(locked.flags, 'ac');
  assert.equal(run('f0 01 d8').fault, 6, 'LOCK with a register destination');
  assert.equal(run('f0 39 03').fault, 6, 'LOCK CMP');
});

test('a fault leaves registers, flags and memory alone', () => {
  const registers = { rax: 5, rbx: READ_ONLY };
  const readOnly = run('01 03', { registers, flags: 'oc' });
  assert.equal(readOnly.fault, 14);
  assert.equal(readOnly.flags, 'oc');
  assert.equal(run('39 03', { registers }).fault, undefined, 'CMP only reads');
  const missing = run('03 03', { registers: { rax: 5, rbx: MEMORY }, flags: 's' });
  assert.equal(missing.fault, 14);
  assert.equal(missing.registers.rax, 5n);
  assert.equal(missing.flags, 's');
});
