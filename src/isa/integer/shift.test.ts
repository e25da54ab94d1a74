import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './machine.test-helper.ts';
import { bitsOf, flagsOf, sized, VALUES, without } from './model.test-helper.ts';

interface Bits {
  x: bigint;
  carry: bigint;
}

/** One bit at a time; `bits` is the operand's size. */
const STEP: Record<string, (s: Bits, bits: number) => void> = {
  rol(s, bits) {
    s.carry = (s.x >> BigInt(bits - 1)) & 1n;
    s.x = BigInt.asUintN(bits, (s.x << 1n) | s.carry);
  },
  ror(s, bits) {
    s.carry = s.x & 1n;
    s.x = (s.x >> 1n) | (s.carry << BigInt(bits - 1));
  },
  rcl(s, bits) {
    const out = (s.x >> BigInt(bits - 1)) & 1n;
    s.x = BigInt.asUintN(bits, (s.x << 1n) | s.carry);
    s.carry = out;
  },
  rcr(s, bits) {
    const out = s.x & 1n;
    s.x = (s.x >> 1n) | (s.carry << BigInt(bits - 1));
    s.carry = out;
  },
  shl(s, bits) {
    s.carry = (s.x >> BigInt(bits - 1)) & 1n;
    s.x = BigInt.asUintN(bits, s.x << 1n);
  },
  shr(s) {
    s.carry = s.x & 1n;
    s.x >>= 1n;
  },
  sar(s, bits) {
    s.carry = s.x & 1n;
    s.x = BigInt.asUintN(bits, BigInt.asIntN(bits, s.x) >> 1n);
  },
};

const NAMES = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'];
const LEFT = new Set(['rol', 'rcl', 'shl', 'shld']);

function overflow(name: string, x: bigint, carry: bigint, bits: number): boolean {
  const top = (x >> BigInt(bits - 1)) & 1n;
  return LEFT.has(name) ? top !== carry : top !== ((x >> BigInt(bits - 2)) & 1n);
}

NAMES.forEach((name, extension) => {
  test(`${name} /${extension}: every count, by CL and by immediate`, () => {
    for (const size of [1, 2, 4, 8]) {
      const bits = bitsOf(size);
      for (const value of VALUES) {
        for (let count = 0; count < 70; count += size === 8 ? 3 : 1) {
          for (const flags of ['', 'oszapc']) {
            const masked = count & (size === 8 ? 63 : 31);
            const s: Bits = { x: BigInt.asUintN(bits, value), carry: flags === '' ? 0n : 1n };
            for (let i = 0; i < masked; i++) STEP[name]?.(s, bits);
            const o = overflow(name, s.x, s.carry, bits);
            const rotates = extension < 4;
            let want = rotates ? without(flags, 'oc') : flagsOf(size, s.x, o, s.carry === 1n);
            if (rotates) want = `${o ? 'o' : ''}${want}${s.carry === 1n ? 'c' : ''}`;
            if (masked === 0) want = flags;
            const modrm = (0xc0 | (extension << 3)).toString(16);
            const immediate = count.toString(16).padStart(2, '0');
            for (const code of [sized(size, 0xd2, modrm), sized(size, 0xc0, `${modrm} ${immediate}`)]) {
              const got = run(code, { registers: { rax: value, rcx: count }, flags });
              const about = `${code} ${value.toString(16)} by ${count} [${flags}]`;
              const upper = size === 4 ? 0n : (value >> BigInt(bits)) << BigInt(bits);
              assert.equal(got.registers.rax, s.x | upper, about);
              assert.equal(got.flags, want, about);
            }
          }
        }
      }
    }
  });
});

test('by one', () => {
  assert.equal(run('d1 e0', { registers: { rax: 0xc000_0000n } }).flags, 'spc');
  assert.equal(run('d1 f8', { registers: { rax: 0x8000_0001n } }).registers.rax, 0xc000_0000n);
  const memory = { 12288: [0x81] };
  assert.equal(run('d0 2b', { registers: { rbx: 0x3000 }, memory }).at(0x3000, 1), 0x40n);
});

test('shld, shrd: every count', () => {
  for (const [name, byImmediate, byCl] of [
    ['shld', 'a4', 'a5'],
    ['shrd', 'ac', 'ad'],
  ] as const) {
    for (const size of [2, 4, 8]) {
      const bits = bitsOf(size);
      const mask = (1n << BigInt(bits)) - 1n;
      const [x, y] = [0xc5b2_8123_4567_8123n & mask, 0x9abc_def0_1357_c567n & mask];
      // What moves in: the other operand, then, as processors do past 16 bits, the destination's own bits.
      const left = (x << BigInt(2 * bits)) | (y << BigInt(bits)) | x;
      for (let count = 0; count < 64; count++) {
        const masked = count & (size === 8 ? 63 : 31);
        const n = BigInt(masked);
        const result = (name === 'shld' ? (left << n) >> BigInt(2 * bits) : left >> n) & mask;
        // Past the operand's size CF is undefined.
        const defined = masked <= bits;
        const carry = (name === 'shld' ? x >> (BigInt(bits) - n) : x >> (n - 1n)) & 1n;
        const o = defined && overflow(name, result, carry, bits);
        const full = masked === 0 ? 'szapc' : flagsOf(size, result, o, defined && carry === 1n);
        const immediate = count.toString(16).padStart(2, '0');
        const prefix = { 2: '66 ', 4: '', 8: '48 ' }[size] as string;
        for (const code of [`${prefix}0f ${byImmediate} d8 ${immediate}`, `${prefix}0f ${byCl} d8`]) {
          const got = run(code, { registers: { rax: x, rbx: y, rcx: count }, flags: 'szapc' });
          assert.equal(got.registers.rax, result, `${code} ${count}`);
          assert.equal(defined ? got.flags : without(got.flags, 'oc'), full, `${code} ${count}`);
        }
      }
    }
  }
});
