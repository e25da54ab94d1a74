import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { CR0, VECTOR } from '../state.ts';
import { guest, lines, READ_ONLY, reset, run, state } from './machine.test-helper.ts';

const ADDRESS = 0x2000;
const ONE: Value80 = [0x3fff, 1n << 63n];
const TWO: Value80 = [0x4000, 1n << 63n];
const DEFAULT_NAN: Value80 = [0xffff, 0xc000_0000_0000_0000n];
const data = new DataView(guest.buffer, guest.byteOffset, guest.length);

type Value80 = readonly [signExponent: number, significand: bigint];

/** Fills the stack: the last value becomes ST(0). */
function push(...values: readonly Value80[]): void {
  for (const [signExponent, significand] of values) {
    state.fpTop = (state.fpTop + 7) & 7;
    state.fpr[2 * state.fpTop] = significand;
    state.fpr[2 * state.fpTop + 1] = BigInt(signExponent);
    state.ftw |= 1 << state.fpTop;
  }
}

function st(index: number): Value80 {
  const register = (state.fpTop + index) & 7;
  return [Number(state.fpr[2 * register + 1] & 0xffffn), state.fpr[2 * register]];
}

const depth = (): number => [...state.ftw.toString(2)].filter((bit) => bit === '1').length;

beforeEach(() => {
  reset();
  guest.fill(0);
  lines.ferr = 0;
  lines.ignored = false;
  state.gpr[6] = BigInt(ADDRESS);
});

test('a load pushes, a store with pop takes off', () => {
  data.setFloat64(ADDRESS, 2, true);
  assert.equal(run('dd 06'), undefined);
  assert.deepEqual(st(0), TWO);
  assert.equal(state.fpTop, 7);
  run('db 3e');
  assert.equal(depth(), 0);
  assert.equal(state.fpTop, 0);
  assert.deepEqual([data.getUint16(ADDRESS + 8, true), data.getBigUint64(ADDRESS, true)], TWO);
});

test('SUB and DIV change places where the destination is ST(i)', () => {
  for (const [code, expected] of [
    ['d8 e1', 0],
    ['d8 e9', 0],
    ['dc e9', 1],
    ['dc e1', 1],
  ] as const) {
    reset();
    push(ONE, TWO);
    run(code);
    const sign = code === 'd8 e1' || code === 'dc e1' ? 0 : 0x8000;
    assert.deepEqual(st(expected), [0x3fff | sign, 1n << 63n], code);
  }
});

test('an integer operand is signed', () => {
  push(ONE);
  data.setInt16(ADDRESS, -1, true);
  run('de 06');
  assert.deepEqual(st(0), [0, 0n]);
});

test('a push onto a full stack delivers the default NaN and tells overflow by C1', () => {
  push(...Array<Value80>(8).fill(ONE));
  run('d9 e8');
  assert.deepEqual(st(0), DEFAULT_NAN);
  assert.equal(state.fsw & 0x27f, 0x241);
});

test('an empty operand delivers the default NaN and tells underflow', () => {
  push(ONE);
  state.fsw = 0x200;
  run('d8 c1');
  assert.deepEqual(st(0), DEFAULT_NAN);
  assert.equal(state.fsw & 0x27f, 0x41);
});

test('an unmasked stack fault changes nothing but the status word, and waits', () => {
  push(ONE);
  state.fcw = 0x37e;
  assert.equal(run('d8 c1'), undefined);
  assert.deepEqual(st(0), ONE);
  assert.equal(state.fsw, 0x80c1);
  assert.equal(run('d9 e8'), VECTOR.mf);
  assert.equal(depth(), 1);
  assert.equal(run('9b'), VECTOR.mf);
});

test('instructions that do not wait run with an exception pending', () => {
  state.fsw = 0x8081;
  state.fcw = 0x37e;
  assert.equal(run('df e0'), undefined);
  assert.equal(state.gpr[0] & 0xffffn, 0x8081n);
  assert.equal(run('db e2'), undefined);
  assert.equal(state.fsw, 0);
});

test('without CR0.NE a pending exception asserts FERR and waits, or goes on under IGNNE', () => {
  state.cr0 = BigInt(CR0.pe);
  state.fsw = 0x8081;
  state.fcw = 0x37e;
  assert.equal(run('d9 e8'), 'wait');
  assert.equal(lines.ferr, 1);
  assert.equal(depth(), 0);
  lines.ignored = true;
  assert.equal(run('d9 e8'), undefined);
  assert.equal(depth(), 1);
});

test('an unmasked overflow keeps a result from memory and from being popped', () => {
  push([0x7000, 1n << 63n]);
  state.fcw = 0x377;
  data.setUint32(ADDRESS, 0x1234, true);
  run('d9 1e');
  assert.equal(data.getUint32(ADDRESS, true), 0x1234);
  assert.equal(depth(), 1);
  assert.equal(state.fsw & 0x80ff, 0x8088);
});

test('a store that faults leaves the stack and the status word alone', () => {
  push([0x3ffd, 0xaaaa_aaaa_aaaa_aaaan]);
  state.gpr[6] = BigInt(READ_ONLY);
  assert.equal(run('dd 1e'), VECTOR.pf);
  assert.equal(depth(), 1);
  assert.equal(state.fsw, 0);
});

test('precision control rounds arithmetic, not loads', () => {
  const long: Value80 = [0x3fff, 0x8000_0000_0000_0001n];
  push(ONE, long);
  state.fcw = 0x07f;
  run('d8 c9');
  assert.deepEqual(st(0), ONE);
  assert.equal(state.fsw & 0x3f, 0x20);
});

test('FCOM sets the condition codes, FCOMI the flags', () => {
  push(ONE, TWO);
  run('d8 d1');
  assert.equal(state.fsw & 0x4500, 0);
  run('d9 c9');
  run('d8 d1');
  assert.equal(state.fsw & 0x4500, 0x100);
  run('db f0');
  assert.equal(state.flagResult, 0n);
});

test('FUCOM does not signal a quiet NaN, FCOM does', () => {
  push(DEFAULT_NAN, ONE);
  run('dd e1');
  assert.equal(state.fsw, 0x4500);
  run('d8 d1');
  assert.equal(state.fsw, 0x4501);
});

test('FXAM tells classes, and the sign of an empty register', () => {
  const classes: readonly (readonly [Value80, number])[] = [
    [[0, 0n], 0x4000],
    [ONE, 0x400],
    [[0x7fff, 1n << 63n], 0x500],
    [DEFAULT_NAN, 0x300],
    [[0, 1n], 0x4400],
    [[0x3fff, 1n], 0],
  ];
  for (const [value, codes] of classes) {
    reset();
    push(value);
    run('d9 e5');
    assert.equal(state.fsw & 0x4700, codes);
    state.ftw = 0;
    run('d9 e5');
    assert.equal(state.fsw & 0x4500, 0x4100);
  }
});

test('constants follow the rounding mode', () => {
  for (const [mode, last] of [
    [0, 0x35n],
    [1, 0x34n],
    [2, 0x35n],
    [3, 0x34n],
  ] as const) {
    reset();
    state.fcw = 0x37f | (mode << 10);
    run('d9 eb');
    assert.equal(st(0)[1] & 0xffn, last);
  }
});

test('FCMOVcc moves by EFLAGS', () => {
  push(TWO, ONE);
  state.flagResult = 1n;
  run('da c9');
  assert.deepEqual(st(0), ONE);
  state.flagResult = 0n;
  run('da c9');
  assert.deepEqual(st(0), TWO);
});

test('FBSTP and FBLD keep a decimal integer', () => {
  data.setBigUint64(ADDRESS, 0x9876_5432_1012_3456n, true);
  data.setUint16(ADDRESS + 8, 0x8012, true);
  run('df 26');
  guest.fill(0, ADDRESS, ADDRESS + 10);
  run('df 36');
  assert.equal(data.getBigUint64(ADDRESS, true), 0x9876_5432_1012_3456n);
  assert.equal(data.getUint16(ADDRESS + 8, true), 0x8012);
});

test('a partial remainder tells so by C2', () => {
  push(ONE, [0x3fff + 100, 1n << 63n]);
  run('d9 f8');
  assert.equal(state.fsw & 0x400, 0x400);
  run('d9 f8');
  run('d9 f8');
  assert.equal(state.fsw & 0x400, 0);
  assert.deepEqual(st(0), [0, 0n]);
});

test('FXTRACT of zero divides by zero', () => {
  push([0x8000, 0n]);
  run('d9 f4');
  assert.deepEqual(st(0), [0x8000, 0n]);
  assert.deepEqual(st(1), [0xffff, 1n << 63n]);
  assert.equal(state.fsw & 0x3f, 4);
});

test('undocumented aliases do as the instructions they stand for', () => {
  for (const [alias, official] of [
    ['dc d1', 'd8 d1'],
    ['de d1', 'd8 d9'],
    ['dd c9', 'd9 c9'],
    ['df d1', 'dd d9'],
  ] as const) {
    const outcome = [alias, official].map((code) => {
      reset();
      push(ONE, TWO);
      run(code);
      return [state.fsw, state.fpTop, state.ftw, ...state.fpr];
    });
    assert.deepEqual(outcome[0], outcome[1], alias);
  }
});

test('FLDCW brings a flagged exception into force, FNINIT takes all back', () => {
  state.fsw = 4;
  data.setUint16(ADDRESS, 0x300, true);
  run('d9 2e');
  assert.equal(state.fcw, 0x340);
  assert.equal(state.fsw, 0x8084);
  run('db e3');
  assert.deepEqual([state.fcw, state.fsw, state.ftw, state.fpTop], [0x37f, 0, 0, 0]);
});

test('pointers name the last instruction that was no control instruction, and its operand', () => {
  run('dd 06');
  run('9b');
  run('db e2');
  assert.equal(state.fip, 0x100n);
  assert.equal(state.fdp, BigInt(ADDRESS));
});

test('EMMS empties all registers', () => {
  push(ONE, ONE);
  run('0f 77');
  assert.equal(state.ftw, 0);
});
