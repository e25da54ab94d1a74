import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { VECTOR } from '../state.ts';
import { guest, type Options, READ_ONLY, reset, run, state } from './machine.test-helper.ts';

const ADDRESS = 0x2000;
const data = new DataView(guest.buffer, guest.byteOffset, guest.length);

const LAYOUTS: readonly { name: string; code: string; options: Options; bytes: number }[] = [
  { name: '32-bit protected', code: '', options: { bits: 32 }, bytes: 28 },
  { name: '16-bit protected', code: '66', options: { bits: 32 }, bytes: 14 },
  { name: '32-bit real', code: '', options: { bits: 32, protected: false }, bytes: 28 },
  { name: '16-bit real', code: '66', options: { bits: 32, protected: false }, bytes: 14 },
  { name: '64-bit', code: '', options: {}, bytes: 28 },
];

beforeEach(() => {
  reset();
  guest.fill(0xee);
  state.gpr[6] = BigInt(ADDRESS);
});

/** A stack of a zero, a normal number and a NaN, top at 5. */
function fill(): void {
  state.fpTop = 5;
  state.ftw = 0b1110_0000;
  state.fpr[2 * 5] = 0n;
  state.fpr[2 * 5 + 1] = 0n;
  state.fpr[2 * 6] = 1n << 63n;
  state.fpr[2 * 6 + 1] = 0x3fffn;
  state.fpr[2 * 7] = 0xc000_0000_0000_0000n;
  state.fpr[2 * 7 + 1] = 0xffffn;
  state.fsw = 0x4002;
  state.fcw = 0x27f;
  state.fip = 0x1_2345n;
  state.fdp = 0x6_789an;
}

for (const { name, code, options, bytes } of LAYOUTS) {
  test(`FNSTENV and FLDENV agree: ${name}`, () => {
    fill();
    assert.equal(run(`${code} d9 36`, options), undefined);
    const size = bytes / 7;
    assert.equal(data.getUint16(ADDRESS, true), 0x27f);
    assert.equal(data.getUint16(ADDRESS + size, true), 0x6802);
    assert.equal(data.getUint16(ADDRESS + 2 * size, true), 0b10_00_01_11_11_11_11_11);
    assert.equal(guest[ADDRESS + bytes], 0xee);
    reset();
    state.gpr[6] = BigInt(ADDRESS);
    assert.equal(run(`${code} d9 26`, options), undefined);
    assert.deepEqual([state.fcw, state.fsw, state.fpTop, state.ftw], [0x27f, 0x4002, 5, 0b1110_0000]);
    const kept = bytes === 14 && options.protected !== false ? 0xffffn : 0xf_ffffn;
    assert.equal(state.fip, 0x1_2345n & kept);
    assert.equal(state.fdp, 0x6_789an & kept);
  });

  test(`FNSAVE and FRSTOR agree: ${name}`, () => {
    fill();
    const before = [...state.fpr];
    run(`${code} dd 36`, options);
    assert.deepEqual([state.fcw, state.fsw, state.ftw, state.fpTop], [0x37f, 0, 0, 0]);
    // ST(1) is physical register 6.
    assert.equal(data.getBigUint64(ADDRESS + bytes + 10, true), 1n << 63n);
    assert.equal(guest[ADDRESS + bytes + 80], 0xee);
    reset();
    state.gpr[6] = BigInt(ADDRESS);
    run(`${code} dd 26`, options);
    assert.deepEqual([...state.fpr], before);
    assert.deepEqual([state.fcw, state.fsw, state.fpTop, state.ftw], [0x27f, 0x4002, 5, 0b1110_0000]);
  });
}

test('FNSTENV masks all exceptions after it has stored', () => {
  state.fcw = 0x340;
  state.fsw = 0x8081;
  run('d9 36');
  assert.equal(data.getUint16(ADDRESS, true), 0x340);
  assert.equal(data.getUint16(ADDRESS + 4, true), 0x8081);
  assert.equal(state.fcw, 0x37f);
  assert.equal(state.fsw, 1);
});

test('FNSAVE that faults initialises nothing and writes nothing', () => {
  fill();
  state.gpr[6] = BigInt(READ_ONLY - 100);
  assert.equal(run('dd 36'), VECTOR.pf);
  assert.equal(guest[READ_ONLY - 100], 0xee);
  assert.equal(state.fcw, 0x27f);
});
