import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EFLAGS } from '../state.ts';
import { run } from './machine.test-helper.ts';
import { flagsOf, without } from './model.test-helper.ts';

/** DAA and DAS as the manual's pseudocode has them, step by step. */
function adjust(al: number, carryIn: boolean, auxiliaryIn: boolean, subtract: boolean) {
  const sign = subtract ? -1 : 1;
  let result = al;
  let carry = false;
  const auxiliary = (al & 15) > 9 || auxiliaryIn;
  if (auxiliary) {
    result += sign * 6;
    carry = carryIn || result < 0 || result > 255;
    result &= 255;
  }
  if (al > 0x99 || carryIn) {
    result = (result + sign * 0x60) & 255;
    carry = true;
  } else if (!subtract) carry = false;
  return { result: BigInt(result), carry, auxiliary };
}

test('daa, das: every AL, CF and AF', () => {
  for (let al = 0; al < 256; al++) {
    for (const flags of ['', 'a', 'c', 'ac']) {
      for (const [code, subtract] of [
        ['27', false],
        ['2f', true],
      ] as const) {
        const want = adjust(al, flags.includes('c'), flags.includes('a'), subtract);
        const got = run(code, { registers: { rax: al | 0x1200 }, flags, bits: 32 });
        assert.equal(got.registers.rax, 0x1200n | want.result, `${code} ${al.toString(16)} [${flags}]`);
        const expected = flagsOf(1, want.result, false, want.carry, want.auxiliary);
        assert.equal(without(got.flags, 'o'), expected, `${code} ${al.toString(16)} [${flags}]`);
      }
    }
  }
});

test('aaa, aas, aam, aad', () => {
  const cases: [string, number, string, bigint, string][] = [
    ['37', 0x010b, '', 0x0201n, 'ac'],
    ['37', 0x0105, 'c', 0x0105n, ''],
    ['37', 0x00ff, '', 0x0205n, 'ac'],
    ['37', 0x0002, 'a', 0x0108n, 'ac'],
    ['3f', 0x020c, '', 0x0106n, 'ac'],
    ['3f', 0x0201, 'a', 0x000bn, 'ac'],
    ['3f', 0x0209, 'c', 0x0209n, ''],
    ['d4 0a', 0x0063, '', 0x0909n, ''],
    ['d4 10', 0x00ab, '', 0x0a0bn, ''],
    ['d5 0a', 0x0709, '', 0x004fn, ''],
    ['d5 10', 0xff01, '', 0x00f1n, ''],
  ];
  for (const [code, ax, flags, want, carries] of cases) {
    const got = run(code, { registers: { rax: ax }, flags, bits: 16 });
    assert.equal(got.registers.rax, want, `${code} ${ax.toString(16)}`);
    if (!code.startsWith('d')) assert.equal([...got.flags].filter((f) => 'ac'.includes(f)).join(''), carries, code);
    else assert.equal(without(got.flags, 'oac'), without(flagsOf(1, want & 0xffn, false, false), 'oac'), code);
  }
  assert.equal(run('d4 00', { registers: { rax: 5 }, bits: 32 }).fault, 0);
});

test('decimal adjustment, BOUND and the like do not exist in 64-bit mode', () => {
  for (const code of ['27', '2f', '37', '3f', 'd4 0a', 'd5 0a', 'd6', '60', '61', '62 03']) {
    assert.equal(run(code).fault, 6, code);
  }
});

test('single flags', () => {
  assert.equal(run('f8', { flags: 'oszapc' }).flags, 'oszap');
  assert.equal(run('f9', { flags: 'o' }).flags, 'oc');
  assert.equal(run('f9', { flags: 'sa' }).flags, 'sac');
  assert.equal(run('f5', { flags: 'ozc' }).flags, 'oz');
  assert.equal(run('f5', { flags: 'p' }).flags, 'pc');
  assert.equal(run('fd', { eflags: EFLAGS.if }).eflags, EFLAGS.if | EFLAGS.df);
  assert.equal(run('fc', { eflags: EFLAGS.if | EFLAGS.df }).eflags, EFLAGS.if);
});

test('bound: signed, both ends included', () => {
  const memory = { 8192: [0xfe, 0xff, 0xff, 0xff, 5, 0, 0, 0] };
  const fault = (rax: bigint) => run('62 03', { registers: { rax, rbx: 0x2000 }, memory, bits: 32 }).fault;
  assert.deepEqual([-3n, -2n, 0n, 5n, 6n].map(fault), [5, undefined, undefined, undefined, 5]);
});

test('salc, rdrand, rdseed', () => {
  assert.equal(run('d6', { registers: { rax: 0x1234 }, flags: 'c', bits: 32 }).registers.rax, 0x12ffn);
  assert.equal(run('d6', { registers: { rax: 0x1234 }, bits: 32 }).registers.rax, 0x1200n);
  for (const [code, want] of [
    ['48 0f c7 f0', 0x1234_5678_9abc_def0n],
    ['0f c7 f8', 0x9abc_def0n],
    ['66 0f c7 f0', 0xffff_ffff_ffff_def0n],
  ] as const) {
    const got = run(code, { registers: { rax: -1n }, flags: 'oszap' });
    assert.equal(got.registers.rax, want, code);
    assert.equal(got.flags, 'c', code);
  }
});
