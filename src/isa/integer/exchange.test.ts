import assert from 'node:assert/strict';
import { test } from 'node:test';
import { READ_ONLY, run } from './machine.test-helper.ts';

test('xchg: registers, memory, 90 with and without REX.B', () => {
  const registers = { rax: 0x1111_2222_3333_4444n, rbx: 0x5555_6666_7777_8888n, r8: 0x99n };
  const both = run('87 d8', { registers }).registers;
  assert.deepEqual([both.rax, both.rbx], [0x7777_8888n, 0x3333_4444n]);
  assert.equal(run('90', { registers }).registers.rax, registers.rax, 'NOP clears no upper half');
  const eight = run('41 90', { registers }).registers;
  assert.deepEqual([eight.rax, eight.r8], [0x99n, 0x3333_4444n]);
  const memory = run('86 23', { registers: { rax: 0xab00, rbx: 0x2000 }, memory: { 8192: [0x12] } });
  assert.equal(memory.at(0x2000, 1), 0xabn);
  assert.equal(memory.registers.rax, 0x1200n);
  assert.equal(run('f3 90', { registers }).registers.rax, registers.rax);
});

test('xadd: the sum stays where both are one register', () => {
  const apart = run('0f c1 d8', { registers: { rax: 5, rbx: 3 } });
  assert.deepEqual([apart.registers.rax, apart.registers.rbx], [8n, 5n]);
  assert.equal(run('0f c1 c0', { registers: { rax: 0xffff_ffff_0000_0005n } }).registers.rax, 10n);
  const memory = run('f0 48 0f c1 03', { registers: { rax: -1n, rbx: 0x2000 }, memory: { 8192: [1] } });
  assert.equal(memory.at(0x2000, 8), 0n);
  assert.equal(memory.registers.rax, 1n);
  assert.equal(memory.flags, 'zapc');
});

test('cmpxchg: which registers lose their upper half', () => {
  const high = 0xffff_ffff_0000_0000n;
  const unequal = run('0f b1 ca', { registers: { rax: high + 1n, rcx: 7, rdx: high + 2n } });
  assert.deepEqual([unequal.registers.rax, unequal.registers.rdx], [2n, high + 2n]);
  assert.equal(unequal.flags, 'sapc');
  const equal = run('0f b1 ca', { registers: { rax: high + 1n, rcx: 7, rdx: high + 1n } });
  assert.deepEqual([equal.registers.rax, equal.registers.rdx], [high + 1n, 7n]);
  assert.equal(equal.flags, 'zp');
});

test('cmpxchg in memory is a write whatever the outcome', () => {
  const registers = { rax: 5, rcx: 7, rbx: READ_ONLY };
  assert.equal(run('0f b1 0b', { registers }).fault, 14);
  const done = run('f0 0f b0 0b', { registers: { ...registers, rbx: 0x2000 }, memory: { 8192: [5, 9] } });
  assert.equal(done.at(0x2000, 2), 0x907n);
});

test('cmpxchg8b: ZF alone changes', () => {
  const memory = { 8192: [1, 2, 3, 4, 5, 6, 7, 8] };
  const registers = { rsi: 0x2000, rax: 0x0403_0201, rdx: 0x0807_0605, rbx: 0x11, rcx: 0x22 };
  const equal = run('f0 0f c7 0e', { registers, memory, flags: 'osapc' });
  assert.equal(equal.at(0x2000, 8), 0x22_0000_0011n);
  assert.equal(equal.flags, 'oszapc');
  const unequal = run('0f c7 0e', { registers: { ...registers, rax: -1n }, memory, flags: 'zc' });
  assert.equal(unequal.at(0x2000, 8), 0x0807_0605_0403_0201n);
  assert.deepEqual([unequal.registers.rax, unequal.registers.rdx], [0x0403_0201n, 0x0807_0605n]);
  assert.equal(unequal.flags, 'c');
  assert.equal(run('0f c7 c8').fault, 6, 'no register form');
});

test('cmpxchg16b: alignment before anything else, then a write', () => {
  const memory = { 8192: [1], 8200: [2] };
  const registers = { rsi: 0x2000, rax: 1, rdx: 2, rbx: 0x11, rcx: 0x22 };
  const equal = run('f0 48 0f c7 0e', { registers, memory });
  assert.equal(equal.at(0x2000, 16), (0x22n << 64n) | 0x11n);
  assert.equal(equal.flags, 'z');
  const unequal = run('48 0f c7 0e', { registers: { ...registers, rdx: 3 }, memory });
  assert.deepEqual([unequal.registers.rax, unequal.registers.rdx], [1n, 2n]);
  assert.equal(run('48 0f c7 0e', { registers: { ...registers, rsi: READ_ONLY + 8 } }).fault, 13);
  assert.equal(run('48 0f c7 0e', { registers: { ...registers, rsi: READ_ONLY } }).fault, 14);
});
