import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONDITIONS } from '../flag-builder.ts';
import { CODE, MEMORY, run } from './machine.test-helper.ts';

const HIGH = 0x1122_3344_5566_7788n;

test('mov: partial writes keep the rest, 32-bit writes do not', () => {
  const registers = { rax: HIGH, rbx: 0xaabb_ccdd_eeff_1234n };
  const cases: [string, bigint][] = [
    ['88 d8', 0x1122_3344_5566_7734n],
    ['88 fc', 0x1122_3344_5566_1288n],
    ['66 89 d8', 0x1122_3344_5566_1234n],
    ['89 d8', 0xeeff_1234n],
    ['48 89 d8', 0xaabb_ccdd_eeff_1234n],
    ['b0 99', 0x1122_3344_5566_7799n],
    ['66 b8 34 12', 0x1122_3344_5566_1234n],
    ['b8 ff ff ff ff', 0xffff_ffffn],
    ['48 b8 88 77 66 55 44 33 22 91', 0x9122_3344_5566_7788n],
    ['48 c7 c0 ff ff ff ff', 0xffff_ffff_ffff_ffffn],
    ['0f b6 c7', 0x12n],
    ['40 0f b6 c7', 0n],
    ['48 0f be c3', 0x34n],
    ['66 0f be c3', 0x1122_3344_5566_0034n],
    ['48 63 c3', 0xffff_ffff_eeff_1234n],
    ['63 c3', 0xeeff_1234n],
  ];
  for (const [code, want] of cases) assert.equal(run(code, { registers }).registers.rax, want, code);
});

test('mov to and from absolute offsets, by address size', () => {
  const memory = { 9029: [1, 2, 3, 4, 5, 6, 7, 8] };
  assert.equal(run('48 a1 45 23 00 00 00 00 00 00', { memory }).registers.rax, 0x0807_0605_0403_0201n);
  assert.equal(run('67 a0 45 23 00 00', { memory }).registers.rax, 1n);
  assert.equal(run('66 a3 45 23 00 00', { registers: { rax: 0xbeef }, bits: 32 }).at(0x2345, 3), 0xbeefn);
  assert.equal(run('a2 45 23', { registers: { rax: 0x7f }, bits: 16 }).at(0x2345, 1), 0x7fn);
  assert.equal(run('48 a1 00 00 00 00 00 00 00 80').fault !== undefined, true);
});

test('addresses: bases, indexes, RIP, wrapping at the address size, segment bases', () => {
  const registers = { rbx: 0x1000, rsi: 0x20, rax: 0 };
  assert.equal(run('48 8d 44 b3 08', { registers }).registers.rax, 0x1088n);
  assert.equal(run('48 8d 05 00 01 00 00').registers.rax, BigInt(CODE + 7 + 0x100));
  assert.equal(run('67 48 8d 43 ff', { registers: { rbx: 0 } }).registers.rax, 0xffff_ffffn);
  assert.equal(run('66 8d 43 ff', { registers: { rbx: 0, rax: HIGH } }).registers.rax, 0x1122_3344_5566_ffffn);
  assert.equal(run('8d 00', { registers: { rbx: 0xfff0, rsi: 0x20 }, bits: 16 }).registers.rax, 0x10n);
  const memory = { 12304: [0x5a] };
  assert.equal(run('64 8a 03', { registers: { rbx: 0x10 }, memory, bases: { 4: 0x3000n } }).registers.rax, 0x5an);
  assert.equal(run('8a 03', { registers: { rbx: MEMORY } }).fault, 14);
});

test('cbw to cqo', () => {
  const cases: [string, string, bigint, bigint][] = [
    ['66 98', 'rax', 0x80n, 0xff80n],
    ['98', 'rax', 0xffff_0000_1234_8000n, 0xffff_8000n],
    ['48 98', 'rax', 0x8000_0000n, 0xffff_ffff_8000_0000n],
    ['66 99', 'rdx', 0x8000n, 0x5555_5555_5555_ffffn],
    ['99', 'rdx', 0x8000_0000n, 0xffff_ffffn],
    ['48 99', 'rdx', 1n << 63n, 0xffff_ffff_ffff_ffffn],
    ['48 99', 'rdx', 1n, 0n],
  ];
  for (const [code, register, rax, want] of cases) {
    const got = run(code, { registers: { rax, rdx: 0x5555_5555_5555_5555n } });
    assert.equal(got.registers[register], want, code);
  }
});

/** The condition codes as the manuals state them (SDM vol. 1 appendix B). */
function holds(code: number, flags: string): boolean {
  const has = (flag: string) => flags.includes(flag);
  const even = [
    has('o'),
    has('c'),
    has('z'),
    has('c') || has('z'),
    has('s'),
    has('p'),
    has('s') !== has('o'),
    has('z') || has('s') !== has('o'),
  ][code >> 1] as boolean;
  return even !== (code % 2 === 1);
}

function flagSets(): string[] {
  return Array.from({ length: 64 }, (_, set) => [...'oszapc'].filter((_flag, bit) => (set >> bit) & 1).join(''));
}

test('conditions: cmov, set and jump under all flags', () => {
  for (let code = 0; code < 16; code++) {
    const digit = code.toString(16);
    for (const flags of flagSets()) {
      const about = `${CONDITIONS[code]} [${flags}]`;
      const input = { registers: { rax: HIGH, rbx: 0x99 }, flags };
      const moved = run(`0f 4${digit} c3`, input);
      assert.equal(moved.registers.rax, holds(code, flags) ? 0x99n : 0x5566_7788n, about);
      assert.equal(moved.flags, flags, about);
      const byte = holds(code, flags) ? 1n : 0n;
      assert.equal(run(`0f 9${digit} c0`, input).registers.rax, (HIGH & ~0xffn) | byte, about);
      const target = BigInt(holds(code, flags) ? CODE + 2 + 0x10 : CODE + 2);
      assert.equal(run(`7${digit} 10`, input).ip, target, about);
    }
  }
});

test('cmov reads its source even where the condition does not hold', () => {
  assert.equal(run('0f 44 03', { registers: { rbx: MEMORY } }).fault, 14);
});

test('xlat, lahf, sahf', () => {
  const memory = { 8258: [0x77], 66: [0x66] };
  assert.equal(run('d7', { registers: { rax: 0xff42, rbx: 0x2000 }, memory }).registers.rax, 0xff77n);
  const wrapped = run('d7', { registers: { rax: 0x43, rbx: 0xffff }, memory, bits: 16 });
  assert.equal(wrapped.registers.rax, 0x66n);
  assert.equal(run('9f', { flags: 'oszapc' }).registers.rax, 0xd700n);
  assert.equal(run('9f', { flags: 'o' }).registers.rax, 0x200n);
  assert.equal(run('9e', { registers: { rax: 0xff00 }, flags: 'o' }).flags, 'oszapc');
  assert.equal(run('9e', { registers: { rax: 0x2a00 }, flags: 'szapc' }).flags, '');
});

test('hints do nothing to their operand, undefined opcodes raise #UD', () => {
  for (const code of [
    '0f 1f 03',
    '66 0f 1f 44 00 00',
    '0f 18 0b',
    '0f 18 c0',
    '0f 0d 0b',
    'f3 0f 1e fa',
    'f3 0f 1e c8',
  ]) {
    const got = run(code, { registers: { rbx: MEMORY } });
    assert.equal(got.fault, undefined, code);
    assert.equal(got.ip, BigInt(CODE + code.split(' ').length), code);
  }
  for (const code of ['0f 0b', '0f b9 c0', '0f ff c0']) assert.equal(run(code).fault, 6, code);
});
