import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, run } from './machine.test-helper.ts';

test('relative jumps: sizes, wrapping, prefixes', () => {
  assert.equal(run('eb fe').ip, BigInt(CODE));
  assert.equal(run('e9 00 10 00 00').ip, BigInt(CODE + 5 + 0x1000));
  assert.equal(run('66 e9 00 10 00 00').ip, BigInt(CODE + 6 + 0x1000), '66 is ignored in 64-bit mode');
  assert.equal(run('66 e9 00 80', { bits: 32 }).ip, BigInt((CODE + 4 + 0x8000) & 0xffff), '66 cuts EIP elsewhere');
  assert.equal(run('e9 00 f0', { bits: 16 }).ip, BigInt((CODE + 3 + 0xf000) & 0xffff));
  assert.equal(run('0f 84 00 01 00 00', { flags: 'z' }).ip, BigInt(CODE + 6 + 0x100));
});

test('targets outside the code segment raise #GP before anything changes', () => {
  const input = { registers: { rsp: 0x800, rcx: 2 }, bits: 32, limit: 0xfff } as const;
  for (const code of ['e9 00 10 00 00', 'e8 00 10 00 00', '0f 85 00 10 00 00']) {
    const got = run(code, input);
    assert.equal(got.fault, 13, code);
    assert.equal(got.registers.rsp, 0x800n, code);
  }
  assert.equal(run('0f 84 00 10 00 00', input).fault, undefined, 'not taken');
  const jump = run('ff e0', { registers: { rax: 1n << 47n } });
  assert.equal(jump.fault, 13, 'a non-canonical target');
});

test('call and return', () => {
  const called = run('e8 00 01 00 00', { registers: { rsp: 0x4000 } });
  assert.equal(called.ip, BigInt(CODE + 5 + 0x100));
  assert.equal(called.at(0x3ff8, 8), BigInt(CODE + 5));
  const indirect = run('ff d4', { registers: { rsp: 0x4000 } });
  assert.equal(indirect.ip, 0x4000n, 'CALL rSP goes to its old value');
  assert.equal(indirect.registers.rsp, 0x3ff8n);
  const memory = { 16384: [0x34, 0x12, 0, 0, 0, 0, 0, 0] };
  const returned = run('c3', { registers: { rsp: 0x4000 }, memory });
  assert.deepEqual([returned.ip, returned.registers.rsp], [0x1234n, 0x4008n]);
  assert.equal(run('c2 10 00', { registers: { rsp: 0x4000 }, memory }).registers.rsp, 0x4018n);
  assert.equal(run('66 c3', { registers: { rsp: 0x4000 }, memory, bits: 32 }).registers.rsp, 0x4002n);
  const bad = run('c3', { registers: { rsp: 0x4000 }, memory: { 16391: [0x80] } });
  assert.deepEqual([bad.fault, bad.registers.rsp], [13, 0x4000n]);
});

test('loops count by address size', () => {
  const taken = BigInt(CODE + 2 + 0x10);
  assert.equal(run('e2 10', { registers: { rcx: 2 } }).ip, taken);
  const done = run('e2 10', { registers: { rcx: 1 } });
  assert.deepEqual([done.ip, done.registers.rcx], [BigInt(CODE + 2), 0n]);
  const short = run('67 e2 10', { registers: { rcx: 0x1_0000_0001n } });
  assert.deepEqual([short.ip, short.registers.rcx], [BigInt(CODE + 3), 0n]);
  assert.equal(run('e2 10', { registers: { rcx: 0x5_0000 }, bits: 16 }).registers.rcx, 0x5_ffffn);
  assert.equal(run('e1 10', { registers: { rcx: 2 }, flags: 'z' }).ip, taken);
  assert.equal(run('e1 10', { registers: { rcx: 2 } }).ip, BigInt(CODE + 2));
  assert.equal(run('e0 10', { registers: { rcx: 2 }, flags: 'z' }).ip, BigInt(CODE + 2));
});

test('jcxz, jecxz, jrcxz', () => {
  const taken = BigInt(CODE + 2 + 0x10);
  assert.equal(run('e3 10', { registers: { rcx: 1n << 40n } }).ip, BigInt(CODE + 2));
  assert.equal(run('67 e3 10', { registers: { rcx: 1n << 40n } }).ip, taken + 1n);
  assert.equal(run('67 e3 10', { registers: { rcx: 0x1_0000 }, bits: 32 }).ip, taken + 1n);
});
