import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../base/struct.ts';
import { VCPU } from '../isa/state.ts';
import { TRANSCENDENTAL } from '../isa/x87/transcendental.ts';
import { x87Function } from './x87-transcendental.ts';

const state = allocate(VCPU);

interface Result {
  readonly value: readonly [signExponent: number, significand: bigint];
  readonly flags: number;
}

type Operand = readonly [signExponent: number, significand: bigint];

function evaluate(operation: keyof typeof TRANSCENDENTAL, a: Operand, b: Operand = a, fcw = 0x37f): Result {
  state.fcw = fcw;
  state.fpExceptions = 0;
  const [ae, as] = a;
  const [be, bs] = b;
  const significand = x87Function(state, TRANSCENDENTAL[operation], as, ae, bs, be);
  return { value: [state.fpResultExponent, BigInt.asUintN(64, significand)], flags: state.fpExceptions };
}

const number = (signExponent: number, significand = 1n << 63n): Operand => [signExponent, significand];
const ONE = number(0x3fff);
const ZERO = number(0, 0n);
const INFINITY = number(0x7fff);
const MINUS = 0x8000;
const INEXACT = 0x20;

test('results are correctly rounded', () => {
  assert.deepEqual(evaluate('sine', ONE).value, [0x3ffe, 0xd76a_a478_4867_7021n]);
  assert.deepEqual(evaluate('cosine', ONE).value, [0x3ffe, 0x8a51_407d_a834_5c92n]);
  assert.deepEqual(evaluate('tangent', ONE).value, [0x3fff, 0xc759_22e5_f71d_2dc5n]);
  // arctan 1 = pi / 4, log2 of 10, sqrt 2 - 1.
  assert.deepEqual(evaluate('arctangent', ONE, ONE).value, [0x3ffe, 0xc90f_daa2_2168_c235n]);
  assert.deepEqual(evaluate('logarithm', number(0x4002, 0xa000_0000_0000_0000n), ONE).value, [
    0x4000,
    0xd49a_784b_cd1b_8afen,
  ]);
  assert.deepEqual(evaluate('power', number(0x3ffe)).value, [0x3ffd, 0xd413_cccf_e779_9211n]);
});

test('rounding modes bracket the result, and C1 tells which was up', () => {
  const up = evaluate('sine', ONE, ONE, 0xb7f);
  const down = evaluate('sine', ONE, ONE, 0x77f);
  assert.equal(up.value[1] - down.value[1], 1n);
  assert.equal(up.flags, INEXACT | 0x200);
  assert.equal(down.flags, INEXACT);
});

test('an argument of 2^63 or more is out of range', () => {
  const large = number(0x3fff + 63);
  assert.deepEqual(evaluate('sine', large), { value: large, flags: 0x400 });
  assert.equal(evaluate('cosine', number(0x3fff + 62)).flags & 0x400, 0);
});

test('arguments are reduced by pi itself', () => {
  // The sine of pi rounded to 64 bits is what rounding took away: -0.c4c6628b... units of 2^-62, and a unit up.
  const { value } = evaluate('sine', number(0x4000, 0xc90f_daa2_2168_c235n));
  assert.deepEqual(value, [MINUS | (0x3fff - 65), 0xece6_75d1_fc8f_8cbbn]);
});

test('a tiny argument is its own sine, a little less', () => {
  const tiny = number(0x100);
  assert.deepEqual(evaluate('sine', tiny), { value: tiny, flags: INEXACT | 0x200 });
  assert.deepEqual(evaluate('sine', tiny, tiny, 0xf7f).value, [0xff, (1n << 64n) - 1n]);
  assert.deepEqual(evaluate('sine', number(0, 1n)), { value: [0, 1n], flags: 0x232 });
});

test('special values of the arctangent', () => {
  assert.deepEqual(evaluate('arctangent', ONE, ZERO), { value: ZERO, flags: 0 });
  assert.deepEqual(evaluate('arctangent', number(0x3fff | MINUS), ZERO).value, [0x4000, 0xc90f_daa2_2168_c235n]);
  assert.deepEqual(evaluate('arctangent', ZERO, ONE).value, [0x3fff, 0xc90f_daa2_2168_c235n]);
  assert.deepEqual(evaluate('arctangent', INFINITY, number(0x7fff | MINUS)).value, [
    0x3ffe | MINUS,
    0xc90f_daa2_2168_c235n,
  ]);
});

test('special values of logarithm and power', () => {
  assert.deepEqual(evaluate('logarithm', ZERO, ONE), { value: number(0x7fff | MINUS), flags: 4 });
  assert.equal(evaluate('logarithm', ZERO, ZERO).flags, 1);
  assert.equal(evaluate('logarithm', number(0x3fff | MINUS), ONE).flags, 1);
  assert.deepEqual(evaluate('logarithm', ONE, ONE), { value: ZERO, flags: 0 });
  assert.deepEqual(evaluate('logarithm', number(0x4002), ONE).value, [0x4000, 0xc000_0000_0000_0000n]);
  assert.deepEqual(evaluate('power', number(0x7fff | MINUS)).value, [0x3fff | MINUS, 1n << 63n]);
  assert.deepEqual(evaluate('power', number(0x3fff | MINUS)).value, [0x3ffe | MINUS, 1n << 63n]);
});

test('the logarithm plus one keeps tiny arguments', () => {
  // log2(1 + 2^-100) = 2^-100 / ln 2.
  const { value } = evaluate('logarithmPlusOne', number(0x3fff - 100), ONE);
  assert.deepEqual(value, [0x3fff - 100, 0xb8aa_3b29_5c17_f0bcn]);
});

test('NaNs pass, a signalling one is reported', () => {
  const quiet = number(0x7fff, 0xc000_0000_0000_0001n);
  assert.deepEqual(evaluate('sine', quiet), { value: quiet, flags: 0 });
  assert.deepEqual(evaluate('cosine', number(0x7fff, 0x8000_0000_0000_0001n)), { value: quiet, flags: 1 });
});

test('denormal operands are reported', () => {
  assert.equal(evaluate('arctangent', ONE, number(0, 1n)).flags & 2, 2);
});
