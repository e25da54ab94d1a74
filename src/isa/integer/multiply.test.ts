import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './machine.test-helper.ts';
import { bitsOf, sized, VALUES } from './model.test-helper.ts';

const sizes = [1, 2, 4, 8];
const unsigned = (size: number, value: bigint) => BigInt.asUintN(bitsOf(size), value);
const signed = (size: number, value: bigint) => BigInt.asIntN(bitsOf(size), value);

/** The double-width number in AX, DX:AX, EDX:EAX or RDX:RAX. */
function pair(size: number, registers: Readonly<Record<string, bigint>>): bigint {
  const { rax = 0n, rdx = 0n } = registers;
  if (size === 1) return rax & 0xffffn;
  return (unsigned(size, rdx) << BigInt(bitsOf(size))) | unsigned(size, rax);
}

function carryOverflow(flags: string): boolean {
  assert.equal(flags.includes('c'), flags.includes('o'));
  return flags.includes('c');
}

test('mul, imul: the whole product, CF and OF', () => {
  for (const size of sizes) {
    for (const x of VALUES) {
      for (const y of VALUES) {
        const registers = { rax: x, rbx: y, rdx: 0x55 };
        const about = `${size} ${x.toString(16)} ${y.toString(16)}`;
        const plain = unsigned(size, x) * unsigned(size, y);
        const mul = run(sized(size, 0xf6, 'e3'), { registers });
        assert.equal(pair(size, mul.registers), plain, about);
        assert.equal(carryOverflow(mul.flags), plain >> BigInt(bitsOf(size)) !== 0n, about);
        const product = signed(size, x) * signed(size, y);
        const imul = run(sized(size, 0xf6, 'eb'), { registers });
        assert.equal(pair(size, imul.registers), BigInt.asUintN(2 * bitsOf(size), product), about);
        assert.equal(carryOverflow(imul.flags), signed(size, product) !== product, about);
        if (size === 1) continue;
        const prefix = { 2: '66 ', 4: '', 8: '48 ' }[size] as string;
        const two = run(`${prefix}0f af c3`, { registers });
        assert.equal(unsigned(size, two.registers.rax as bigint), unsigned(size, product), about);
        assert.equal(carryOverflow(two.flags), signed(size, product) !== product, about);
      }
    }
  }
});

test('imul by an immediate', () => {
  assert.equal(run('48 6b c3 fe', { registers: { rbx: 3 } }).registers.rax, BigInt.asUintN(64, -6n));
  assert.equal(run('66 69 c3 00 80', { registers: { rax: 0x1_0000, rbx: 2 } }).registers.rax, 0x1_0000n);
  assert.equal(run('66 69 c3 00 80', { registers: { rbx: 2 } }).flags.includes('o'), true);
});

test('div, idiv: quotient and remainder, #DE before anything changes', () => {
  for (const size of sizes) {
    for (const high of [0n, 1n, 0x7fn, ...VALUES.slice(4)]) {
      for (const low of VALUES) {
        for (const divisor of VALUES) {
          const registers =
            size === 1 ? { rax: (high << 8n) | low, rbx: divisor } : { rax: low, rdx: high, rbx: divisor };
          checkDivision(size, registers, pair(size, registers as unknown as Record<string, bigint>), divisor);
        }
      }
    }
  }
});

function checkDivision(size: number, registers: Record<string, bigint>, value: bigint, divisor: bigint): void {
  const wide = 2 * bitsOf(size);
  for (const isSigned of [false, true]) {
    const n = isSigned ? BigInt.asIntN(wide, value) : value;
    const d = isSigned ? signed(size, divisor) : unsigned(size, divisor);
    const code = sized(size, 0xf6, isSigned ? 'fb' : 'f3');
    const got = run(code, { registers });
    const about = `${code} ${n} / ${d}`;
    const fits = (q: bigint) => (isSigned ? signed(size, q) : unsigned(size, q)) === q;
    if (d === 0n || !fits(n / d)) {
      assert.equal(got.fault, 0, about);
      assert.equal(got.registers.rax, BigInt.asUintN(64, registers.rax as bigint), about);
      assert.equal(got.registers.rdx, BigInt.asUintN(64, registers.rdx ?? 0n), about);
      continue;
    }
    assert.equal(got.fault, undefined, about);
    const remainder = size === 1 ? (got.registers.rax as bigint) >> 8n : (got.registers.rdx as bigint);
    assert.equal(unsigned(size, got.registers.rax as bigint), unsigned(size, n / d), about);
    assert.equal(unsigned(size, remainder), unsigned(size, n % d), about);
  }
}
