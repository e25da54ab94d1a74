import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EFLAGS } from '../state.ts';
import { CODE, MEMORY, type Output, READ_ONLY, run } from './machine.test-helper.ts';

const bytesAt = (o: Output, address: number, length: number) =>
  Array.from({ length }, (_, i) => Number(o.at(address + i, 1)));
const counting = (length: number) => Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff);

test('single steps: every size, both directions', () => {
  const memory = { 8192: [1, 2, 3, 4, 5, 6, 7, 8] };
  for (const [code, size] of [
    ['a4', 1],
    ['66 a5', 2],
    ['a5', 4],
    ['48 a5', 8],
  ] as const) {
    for (const eflags of [0, EFLAGS.df]) {
      const got = run(code, { registers: { rsi: 0x2000, rdi: 0x3000, rcx: 5 }, memory, eflags });
      const step = eflags === 0 ? BigInt(size) : -BigInt(size);
      assert.deepEqual(
        bytesAt(got, 0x3000, 8),
        [1, 2, 3, 4, 5, 6, 7, 8].map((v, i) => (i < size ? v : 0)),
      );
      assert.deepEqual([got.registers.rsi, got.registers.rdi], [0x2000n + step, 0x3000n + step]);
      assert.equal(got.registers.rcx, 5n);
    }
  }
  assert.equal(run('ac', { registers: { rsi: 0x2001, rax: 0x1100 }, memory }).registers.rax, 0x1102n);
  assert.equal(run('ad', { registers: { rsi: 0x2000, rax: -1n }, memory }).registers.rax, 0x0403_0201n);
});

test('rep movs, forward over pages: the same as byte by byte, whatever the overlap', () => {
  for (const [from, to, count] of [
    [0x1ff0, 0x3003, 5000],
    [0x1ff0, 0x1ff1, 5000],
    [0x1ff1, 0x1ff0, 5000],
    [0x1000, 0x1ffe, 9000],
    [0x1000, 0x1000, 100],
  ] as const) {
    for (const [code, size] of [
      ['f3 a4', 1],
      ['f3 a5', 4],
      ['f3 48 a5', 8],
      ['f2 66 a5', 2],
    ] as const) {
      const elements = Math.floor(count / size);
      const image = new Uint8Array(READ_ONLY);
      image.set(counting(READ_ONLY));
      const want = image.slice();
      for (let i = 0; i < elements; i++) {
        want.set(want.slice(from + i * size, from + (i + 1) * size), to + i * size);
      }
      const registers = { rsi: from, rdi: to, rcx: elements };
      const got = run(code, { registers, memory: { 0: [...image] }, budget: 100_000 });
      const about = `${code} ${from.toString(16)} -> ${to.toString(16)}`;
      assert.deepEqual(bytesAt(got, 0, READ_ONLY), [...want], about);
      const moved = BigInt(elements * size);
      assert.deepEqual(
        [got.registers.rsi, got.registers.rdi, got.registers.rcx],
        [BigInt(from) + moved, BigInt(to) + moved, 0n],
        about,
      );
    }
  }
});

test('rep movs backward', () => {
  const registers = { rsi: 0x2003, rdi: 0x2005, rcx: 4 };
  const got = run('f3 a4', { registers, memory: { 8192: [1, 2, 3, 4] }, eflags: EFLAGS.df });
  assert.deepEqual(bytesAt(got, 0x2000, 6), [1, 2, 1, 2, 3, 4]);
  assert.deepEqual([got.registers.rsi, got.registers.rdi, got.registers.rcx], [0x1fffn, 0x2001n, 0n]);
});

test('rep stos: patterns that fill and patterns that do not', () => {
  for (const [code, size] of [
    ['f3 aa', 1],
    ['f3 66 ab', 2],
    ['f3 ab', 4],
    ['f3 48 ab', 8],
  ] as const) {
    for (const rax of [0n, 0x4242_4242_4242_4242n, 0x8877_6655_4433_2211n]) {
      const got = run(code, { registers: { rdi: 0x1ff3, rcx: 900, rax } });
      const want = Array.from({ length: 900 * size }, (_, i) => Number((rax >> BigInt((i % size) * 8)) & 0xffn));
      assert.deepEqual(bytesAt(got, 0x1ff3, 900 * size), want, code);
      assert.equal(got.at(0x1ff2, 1), 0n);
      assert.equal(got.at(0x1ff3 + 900 * size, 1), 0n);
      assert.equal(got.registers.rdi, BigInt(0x1ff3 + 900 * size));
    }
  }
});

test('a fault stops at the element that met it', () => {
  const stos = run('f3 ab', { registers: { rdi: READ_ONLY - 0x20 - 2, rcx: 100, rax: 0x1111_1111 } });
  assert.equal(stos.fault, 14);
  assert.equal(stos.registers.rdi, BigInt(READ_ONLY - 2));
  assert.equal(stos.registers.rcx, 92n);
  const movs = run('f3 a4', { registers: { rsi: MEMORY - 3, rdi: 0x2000, rcx: 10 } });
  assert.deepEqual([movs.fault, movs.registers.rcx, movs.registers.rdi], [14, 7n, 0x2003n]);
});

test('a count of 0 does nothing; the count, pointers and wrap follow the address size', () => {
  assert.equal(run('f3 a4', { registers: { rsi: MEMORY } }).fault, undefined);
  const short = run('67 f3 aa', { registers: { rdi: 0x2000, rcx: 0x7_0000_0002n, rax: 5 } });
  assert.deepEqual([short.registers.rcx, short.registers.rdi], [0n, 0x2002n]);
  const registers = { rdi: 0x3_fffe, rcx: 0x4_0004, rax: 9 };
  const wrapped = run('f3 aa', { registers, bits: 16 });
  assert.deepEqual(bytesAt(wrapped, 0, 3), [9, 9, 0]);
  assert.deepEqual([wrapped.registers.rdi, wrapped.registers.rcx], [0x3_0002n, 0x4_0000n]);
});

test('segments: an override moves the source only; limits hold', () => {
  const bases = { 0: 0x3000n, 4: 0x1000n };
  const memory = { 4112: [7] };
  const moved = run('64 a4', { registers: { rsi: 0x10, rdi: 0x20 }, bases, memory, bits: 32 });
  assert.equal(moved.at(0x3020, 1), 7n);
  const limited = run('f3 aa', { registers: { rdi: 0xff0, rcx: 0x20, rax: 1 }, bits: 16, limit: 0xfff });
  assert.deepEqual([limited.fault, limited.registers.rcx], [13, 0x10n]);
});

test('cmps, scas: ZF ends the repetition', () => {
  const memory = { 8192: [1, 2, 3, 4, 5], 12288: [1, 2, 9, 4, 5] };
  const registers = { rsi: 0x2000, rdi: 0x3000, rcx: 5 };
  const unequal = run('f3 a6', { registers, memory });
  assert.deepEqual([unequal.registers.rcx, unequal.registers.rsi, unequal.flags], [2n, 0x2003n, 'sapc']);
  const equal = run('f2 a6', { registers: { ...registers, rsi: 0x2002 }, memory: { ...memory, 8194: [8, 2] } });
  assert.deepEqual([equal.registers.rcx, equal.flags], [3n, 'zp']);
  const scan = run('f2 ae', { registers: { rdi: 0x3000, rcx: -1n, rax: 9 }, memory });
  assert.equal(scan.registers.rdi, 0x3003n);
  const kept = run('f3 a6', { registers: { ...registers, rcx: 0 }, memory, flags: 'osc' });
  assert.equal(kept.flags, 'osc');
  assert.equal(run('48 af', { registers: { rdi: 0x2000, rax: 0 }, memory }).flags.includes('c'), true);
});

test('a spent budget leaves the instruction where it can go on', () => {
  const got = run('f3 ac', { registers: { rsi: 0x2000, rcx: 50 }, budget: 10 });
  assert.equal(got.ip, BigInt(CODE));
  assert.equal((got.registers.rsi as bigint) - 0x2000n, 50n - (got.registers.rcx as bigint));
  assert.ok((got.registers.rcx as bigint) > 0n);
});
