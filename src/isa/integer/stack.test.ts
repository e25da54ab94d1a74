import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EFLAGS } from '../state.ts';
import { READ_ONLY, run } from './machine.test-helper.ts';

test('push: sizes by mode and prefix', () => {
  const registers = { rsp: 0x4000, rbx: 0x1122_3344_5566_7788n };
  const cases: [string, 64 | 32 | 16, bigint, bigint][] = [
    ['53', 64, 0x3ff8n, 0x1122_3344_5566_7788n],
    ['66 53', 64, 0x3ffen, 0x7788n],
    ['53', 32, 0x3ffcn, 0x5566_7788n],
    ['53', 16, 0x3ffen, 0x7788n],
    ['6a ff', 64, 0x3ff8n, 0xffff_ffff_ffff_ffffn],
    ['68 00 00 00 80', 64, 0x3ff8n, 0xffff_ffff_8000_0000n],
    ['66 6a 80', 64, 0x3ffen, 0xff80n],
    ['68 00 80', 16, 0x3ffen, 0x8000n],
    ['54', 64, 0x3ff8n, 0x4000n],
  ];
  for (const [code, bits, rsp, value] of cases) {
    const got = run(code, { registers, bits });
    assert.equal(got.registers.rsp, rsp, code);
    assert.equal(got.at(Number(rsp), 0x4000 - Number(rsp)), value, code);
  }
});

test('push of memory addressed by rSP uses its old value, pop its new one', () => {
  const memory = { 16384: [1, 0, 0, 0, 0, 0, 0, 0, 2] };
  assert.equal(run('ff 74 24 08', { registers: { rsp: 0x4000 }, memory }).at(0x3ff8, 8), 2n);
  const popped = run('8f 04 24', { registers: { rsp: 0x4000 }, memory });
  assert.equal(popped.at(0x4008, 8), 1n);
  assert.equal(popped.registers.rsp, 0x4008n);
});

test('pop: rSP itself, a fault of its write changes nothing', () => {
  const memory = { 16384: [0x78, 0x56, 0x34, 0x12] };
  assert.equal(run('5c', { registers: { rsp: 0x4000 }, memory }).registers.rsp, 0x1234_5678n);
  assert.equal(run('8f c4', { registers: { rsp: 0x4000 }, memory }).registers.rsp, 0x1234_5678n);
  assert.equal(run('66 5c', { registers: { rsp: 0x4000 }, memory }).registers.rsp, 0x5678n);
  const bad = run('8f 03', { registers: { rsp: 0x4000, rbx: READ_ONLY }, memory });
  assert.equal(bad.fault, 14);
  assert.equal(bad.registers.rsp, 0x4000n);
  assert.equal(run('53', { registers: { rsp: READ_ONLY + 8 } }).registers.rsp, BigInt(READ_ONLY + 8));
});

test('a 16-bit stack wraps and leaves the upper half of ESP', () => {
  const pushed = run('53', { registers: { rsp: 0xabcd_0000, rbx: 0x1234 }, bits: 16 });
  assert.equal(pushed.registers.rsp, 0xabcd_fffen);
  assert.equal(pushed.at(0xfffe, 2), 0x1234n);
});

test('pusha, popa', () => {
  const registers = { rax: 1, rcx: 2, rdx: 3, rbx: 4, rsp: 0x4000, rbp: 6, rsi: 7, rdi: 8 };
  const pushed = run('60', { registers, bits: 32 });
  const words = Array.from({ length: 8 }, (_, i) => pushed.at(0x3ffc - 4 * i, 4));
  assert.deepEqual(words, [1n, 2n, 3n, 4n, 0x4000n, 6n, 7n, 8n]);
  assert.equal(pushed.registers.rsp, 0x3fe0n);
  const image = [8, 7, 6, 99, 4, 3, 2, 1].flatMap((v) => [v, 0, 0, 0]);
  const popped = run('61', { registers: { rsp: 0x3fe0 }, memory: { 16352: image }, bits: 32 }).registers;
  const order = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];
  assert.deepEqual(
    order.map((name) => popped[name]),
    [1n, 2n, 3n, 4n, 0x4000n, 6n, 7n, 8n],
  );
  const bad = run('60', { registers: { ...registers, rsp: READ_ONLY + 0x1010 }, bits: 32 });
  assert.equal(bad.fault, 14);
  assert.equal(bad.at(READ_ONLY + 0x100c, 4), 0n, 'nothing was stored before the fault');
  assert.equal(run('60').fault, 6);
});

test('enter, leave', () => {
  const plain = run('c8 20 00 00', { registers: { rsp: 0x4000, rbp: 0x77 } });
  assert.deepEqual([plain.registers.rbp, plain.registers.rsp], [0x3ff8n, 0x3fd8n]);
  assert.equal(plain.at(0x3ff8, 8), 0x77n);
  const memory = { 24560: [0xb2, 0, 0, 0, 0, 0, 0, 0, 0xb1] };
  const nested = run('c8 10 00 03', { registers: { rsp: 0x4000, rbp: 0x6000 }, memory });
  const frames = [1, 2, 3, 4].map((slot) => nested.at(0x4000 - 8 * slot, 8));
  assert.deepEqual(frames, [0x6000n, 0xb1n, 0xb2n, 0x3ff8n]);
  assert.deepEqual([nested.registers.rbp, nested.registers.rsp], [0x3ff8n, 0x3fd0n]);
  const left = run('c9', { registers: { rsp: 0x100, rbp: 0x3ff8 }, memory: { 16376: [0x77] } });
  assert.deepEqual([left.registers.rbp, left.registers.rsp], [0x77n, 0x4000n]);
  const bad = run('c8 f0 1f 00', { registers: { rsp: 0xa000, rbp: 1 } });
  assert.equal(bad.fault, 14, 'the end of the frame must be writable');
  assert.equal(bad.registers.rbp, 1n);
});

test('pushf: RF and VM read as 0', () => {
  const eflags = EFLAGS.if | EFLAGS.rf | EFLAGS.id | 2;
  const got = run('9c', { registers: { rsp: 0x4000 }, eflags, flags: 'zc' });
  assert.equal(got.at(0x3ff8, 8), BigInt(EFLAGS.if | EFLAGS.id | EFLAGS.zf | EFLAGS.cf | 2));
});

test('popf: what each privilege level may change', () => {
  const all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
  const pop = (code: string, eflags: number, cpl: number, bytes = all, bits: 64 | 32 = 64) =>
    run(code, { registers: { rsp: 0x4000 }, memory: { 16384: bytes }, eflags, cpl, bits });
  const free = EFLAGS.tf | EFLAGS.df | EFLAGS.nt | EFLAGS.ac | EFLAGS.id;
  const kernel = pop('9d', EFLAGS.rf, 0);
  assert.equal(kernel.eflags & ~2, free | EFLAGS.if | EFLAGS.iopl);
  assert.equal(kernel.flags, 'oszapc');
  assert.equal(kernel.ip, 0x101n);
  assert.equal(pop('9d', 0, 3).eflags & ~2, free, 'IF and IOPL stay at CPL 3');
  assert.equal(pop('9d', EFLAGS.iopl, 3).eflags & ~2, free | EFLAGS.if | EFLAGS.iopl);
  assert.equal(pop('9d', EFLAGS.if, 3, [0, 0, 0, 0, 0, 0, 0, 0]).eflags & ~2, EFLAGS.if);
  assert.equal(pop('66 9d', EFLAGS.ac, 0, [0, 0]).eflags & ~2, EFLAGS.ac, 'the 16-bit form reaches the low half');
  assert.equal(pop('9d', EFLAGS.vip | EFLAGS.vif, 0, [0, 0, 0, 0], 32).eflags & ~2, EFLAGS.vip | EFLAGS.vif);
});

test('virtual-8086 mode: PUSHF and POPF need IOPL 3', () => {
  const input = { registers: { rsp: 0x4000 }, bits: 16, protected: false, cpl: 3 } as const;
  for (const code of ['9c', '9d']) {
    assert.equal(run(code, { ...input, eflags: EFLAGS.vm }).fault, 13, code);
    assert.equal(run(code, { ...input, eflags: EFLAGS.vm | EFLAGS.iopl }).fault, undefined, code);
    assert.equal(run(code, { ...input, eflags: 0, cpl: 0 }).fault, undefined, code);
  }
});
