import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Builder } from './builder.ts';
import { evaluate, evaluateOp } from './evaluate.test-helper.ts';
import { foldCondition, widthOf } from './fold.ts';
import type { Value } from './node.ts';
import { randomConstant, randomFrom, randomOperation } from './random-program.test-helper.ts';

const newBuilder = () => new Builder(['i32', 'i64', 'i32', 'i64'], 'i64', () => assert.fail());
const b = newBuilder();
const x32 = b.param(0);
const x = b.param(1);
const y32 = b.param(2);
const y = b.param(3);

/** A value as text: operations, constants in signed form, `x` and `y` for parameters. */
function show(value: Value): string {
  if (value === x || value === x32) return 'x';
  if (value === y || value === y32) return 'y';
  if (value.kind === 'const') return String(value.value);
  if (value.kind === 'load') return 'load';
  return value.kind === 'pure' ? `(${[value.op.name, ...(value.args as Value[]).map(show)].join(' ')})` : value.kind;
}

const reduces = (name: string, value: Value, expected: string) => test(name, () => assert.equal(show(value), expected));

describe('constants', () => {
  reduces('i32 wraps', b.add(b.i32(0x7fff_ffff), b.i32(1)), '-2147483648');
  reduces('i64 wraps', b.mul(b.i64(1n << 62n), b.i64(2)), '-9223372036854775808');
  reduces('shift counts wrap', b.shl(b.i32(1), b.i32(33)), '2');
  reduces('unsigned shift of a negative', b.shrU(b.i32(-1), b.i32(28)), '15');
  reduces('unsigned comparison', b.ltU(b.i64(1), b.i64(-1)), '1');
  reduces('signed comparison', b.ltS(b.i64(1), b.i64(-1)), '0');
  reduces('eqz', b.eqz(b.i64(0)), '1');
  reduces('zero extension', b.extendU(b.i32(-1)), '4294967295');
  reduces('sign extension', b.signExtend(b.i64(0x80), 1), '-128');
});

describe('sums', () => {
  reduces('+ 0', b.add(x, b.i64(0)), 'x');
  reduces('constants go to the right', b.add(b.i64(5), x), '(i64.add x 5)');
  reduces('two constants join', b.add(b.add(x, b.i64(5)), b.i64(7)), '(i64.add x 12)');
  reduces('differences too', b.sub(b.sub(x, b.i64(8)), b.i64(8)), '(i64.add x -16)');
  reduces('and vanish', b.add(b.sub(x, b.i64(8)), b.i64(8)), 'x');
  reduces('they wrap', b.add(b.add(x32, b.i32(0x7fff_ffff)), b.i32(1)), '(i32.add x -2147483648)');
  reduces('the least number', b.sub(x, b.i64(-(1n << 63n))), '(i64.add x -9223372036854775808)');
  reduces('a constant minus x stays', b.sub(b.i64(1), x), '(i64.sub 1 x)');
  reduces('x - x', b.sub(x, x), '0');
  reduces('* 1', b.mul(x, b.i64(1)), 'x');
  reduces('* 0', b.mul(x, b.i64(0)), '0');
});

describe('masks', () => {
  reduces('& -1', b.and(x, b.i64(-1)), 'x');
  reduces('& 0', b.and(x, b.i64(0)), '0');
  reduces('two masks join', b.and(b.and(x, b.i64(0xff0)), b.i64(0xff)), '(i64.and x 240)');
  reduces('x & x', b.and(x, x), 'x');
  reduces('x ^ x', b.xor(x, x), '0');
  reduces('x ^ y stays', b.xor(x, y), '(i64.xor x y)');
  reduces('| 0', b.or(x, b.i64(0)), 'x');
  reduces('shift by the width', b.shl(x, b.i64(64)), 'x');
  reduces('rotation by 0', b.op('i32.rotl', x32, b.i32(0)), 'x');
});

describe('zero extension of what is narrow already', () => {
  reduces('byte loads', b.zeroExtend(b.loadHost('i64.load8_u', x32), 1), 'load');
  reduces('32-bit loads', b.zeroExtend(b.loadHost('i64.load32_u', x32), 4), 'load');
  reduces('signed loads are not narrow', b.zeroExtend(b.loadHost('i64.load8_s', x32), 1), '(i64.and load 255)');
  reduces('wider loads are not', b.zeroExtend(b.loadHost('i64.load16_u', x32), 1), '(i64.and load 255)');
  reduces('shifts', b.zeroExtend(b.shrU(x, b.i64(32)), 4), '(i64.shr_u x 32)');
  reduces('shifts by less', b.zeroExtend(b.shrU(x, b.i64(31)), 4), '(i64.and (i64.shr_u x 31) 4294967295)');
  reduces('extended i32', b.zeroExtend(b.extendU(x32), 4), '(i64.extend_i32_u x)');
  reduces('sign-extended i32', b.zeroExtend(b.extendS(x32), 4), '(i64.and (i64.extend_i32_s x) 4294967295)');
  reduces(
    'sums may carry',
    b.zeroExtend(b.add(b.shrU(x, b.i64(32)), y), 4),
    '(i64.and (i64.add (i64.shr_u x 32) y) 4294967295)',
  );
  reduces('comparisons', b.and(b.ltU(x, y), b.i32(1)), '(i64.lt_u x y)');
  reduces('wrap, extend', b.extendU(b.wrap(b.zeroExtend(x, 2))), '(i64.and x 65535)');
  reduces('narrow wrap, extend', b.extendU(b.wrap(b.shrU(x, b.i64(32)))), '(i64.shr_u x 32)');
  reduces('signed, of a clear sign', b.signExtend(b.loadHost('i64.load8_u', x32), 2), 'load');
  reduces('signed, of an unknown sign', b.signExtend(b.loadHost('i64.load8_u', x32), 1), '(i64.extend8_s load)');
  test('constants', () => {
    const widths = [0n, 1n, 0xffn, 0xffff_ffffn, 1n << 32n, (1n << 60n) - 1n, -1n].map((value) =>
      widthOf(b.i64(value)),
    );
    assert.deepEqual(widths, [0, 1, 8, 32, 33, 60, 64]);
  });
  test('an atomic operation on a byte gives a byte', () => {
    assert.equal(widthOf(b.atomic('i64.atomic.rmw8.add_u', x32, [x])), 8);
    assert.equal(widthOf(b.atomic('i64.atomic.load32_u', x32, [])), 32);
    assert.equal(widthOf(b.atomic('i64.atomic.rmw.add', x32, [x])), 64);
  });
});

describe('wraps', () => {
  reduces('of zero extension', b.wrap(b.extendU(x32)), 'x');
  reduces('of sign extension', b.wrap(b.extendS(x32)), 'x');
  reduces('of a mask that keeps the low half', b.wrap(b.zeroExtend(x, 4)), '(i32.wrap_i64 x)');
  reduces('of another mask', b.wrap(b.zeroExtend(x, 2)), '(i32.wrap_i64 (i64.and x 65535))');
});

describe('comparisons', () => {
  reduces('= 0', b.eq(x, b.i64(0)), '(i64.eqz x)');
  reduces('of an extended i32', b.ne(b.extendU(x32), b.i64(0)), '(i32.ne x 0)');
  reduces('a comparison is not 0', b.ne(b.ltU(x, y), b.i32(0)), '(i64.lt_u x y)');
  reduces('neither', b.eqz(b.eqz(x)), '(i64.ne x 0)');
  reduces('zero of an extended i32', b.eqz(b.extendU(x32)), '(i32.eqz x)');
  const opposites = { eq: 'ne', lt_s: 'ge_s', lt_u: 'ge_u', gt_s: 'le_s', gt_u: 'le_u' };
  for (const [one, other] of Object.entries(opposites)) {
    reduces(`not ${one}`, b.eqz(b.op(`i64.${one}`, x, y)), `(i64.${other} x y)`);
    reduces(`not ${other}`, b.eqz(b.op(`i64.${other}`, x, y)), `(i64.${one} x y)`);
  }
  const f = b.f64(1);
  reduces('floats have no opposite', b.and(b.eqz(b.op('f64.lt', f, f)), b.i32(1)), '(i32.eqz (f64.lt 1 1))');
  reduces('a condition need not be 0 or 1', foldCondition(b.ne(x32, b.i32(0))), 'x');
  reduces('nor twice negated', foldCondition(b.eqz(b.eqz(x32))), 'x');
});

test('random expressions keep their value', () => {
  const random = randomFrom(1);
  const world = { memory: new DataView(new ArrayBuffer(0)), functions: {} };
  for (let round = 0; round < 3000; round++) {
    const inputs = [0, 1, 2, 3].map((i) => {
      const constant = randomConstant(newBuilder(), random, i % 2 === 0 ? 'i32' : 'i64') as Value & { kind: 'const' };
      return BigInt(constant.value as bigint | number);
    });
    const builder = newBuilder();
    const values = new Map<Value, bigint>(inputs.map((value, i) => [builder.param(i), value]));
    const known = (value: Value) =>
      values.get(value) ?? BigInt((value as Value & { kind: 'const' }).value as bigint | number);
    // What an operation gives is taken down as it would be without any folding.
    const expected = (name: string, args: readonly Value[]) => evaluateOp(name, args.map(known));
    for (let step = 0; step < 12; step++) {
      const type = random(2) === 0 ? 'i32' : 'i64';
      const leaf = (wanted: 'i32' | 'i64'): Value => {
        const fitting = [...values.keys()].filter((value) => value.type === wanted);
        return random(3) === 0 ? randomConstant(builder, random, wanted) : fitting[random(fitting.length)];
      };
      const recorded = recording(builder, expected, known);
      const value = randomOperation(recorded.builder, random, type, leaf);
      const result = recorded.result();
      if (values.has(value)) assert.equal(values.get(value), result, `round ${round}: ${show(value)}`);
      else if (value.kind === 'const') assert.equal(known(value), result, `round ${round}: ${show(value)}`);
      else values.set(value, result);
    }
    const all = [...values];
    const [value, result] = all[all.length - 1];
    builder.return(value);
    assert.equal(evaluate(builder, inputs, world), result, `round ${round}: ${show(value)} of ${inputs}`);
  }
});

/** A builder that also notes what the last operation asked of it gives. */
function recording(
  builder: Builder,
  expected: (name: string, args: readonly Value[]) => bigint,
  known: (value: Value) => bigint,
): { builder: Builder; result: () => bigint } {
  let last: () => bigint = () => assert.fail('nothing was built');
  const note = (name: string, args: readonly Value[]) => {
    last = () => expected(name, args);
    return builder.op(name, ...args);
  };
  const recorder = Object.create(builder) as Builder;
  Object.assign(recorder, {
    op: (name: string, ...args: Value[]) => note(name, args),
    wrap: (a: Value) => note('i32.wrap_i64', [a]),
    eqz: (a: Value) => note(`${a.type}.eqz`, [a]),
    zeroExtend: (a: Value, bytes: number) => note('i64.and', [a, builder.i64((1n << BigInt(bytes * 8)) - 1n)]),
    select: (condition: Value, a: Value, c: Value) => {
      last = () => known(known(condition) !== 0n ? a : c);
      return builder.select(condition, a, c);
    },
  });
  return { builder: recorder, result: () => last() };
}
