/** What the recorded results do not show: memory forms, faults, the x87 registers, the fast paths. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { floatHelpers } from '../float/routines.ts';
import { CR4, VECTOR } from '../state.ts';
import { simd, simdHelpers } from './index.ts';
import { GUEST_SIZE, guest, reset, run, setXmm, state, xmm } from './rig.test-helper.ts';

const RAX = 0;
const RDI = 7;
const ONE = '3ff0000000000000';
const SIGNALLING = '7ff0000000000001';
const ZEROES = '0'.repeat(16);

beforeEach(() => {
  reset();
  guest.fill(0);
});

function put(at: number, hex: string): void {
  guest.set(Buffer.from(hex, 'hex').reverse(), at);
}

test('helpers have names of their own', () => {
  const names = [...simdHelpers, ...floatHelpers].map((h) => h.name);
  assert.equal(new Set(names).size, names.length);
});

test('every definition names its feature, and MMX and XMM operands their unit', () => {
  for (const { name, encodings, unit, feature } of simd) {
    assert.ok(feature, name);
    if (encodings.some((text) => /[VWUPQN](b|w|d|q|dq)\b/.test(text))) assert.ok(unit, `${name} ${encodings}`);
  }
});

test('sixteen bytes of memory must be aligned, but for the unaligned moves and string comparisons', () => {
  state.gpr[RAX] = 8n;
  for (const code of ['0f2808', '0f2908', '660f6f08', '660f7f08', '0f5808', '660fef08', '660fe708', '660f382a08']) {
    assert.equal(run(code), VECTOR.gp, code);
  }
  for (const code of ['0f1008', '0f1108', '660f1008', 'f30f6f08', 'f30f7f08', 'f20ff008', '660f3a630800']) {
    assert.equal(run(code), undefined, code);
  }
});

test('scalar and half forms access no more than their own bytes', () => {
  const forms = [
    ['f30f1008', 4],
    ['f30f1108', 4],
    ['f30f5808', 4],
    ['f20f5808', 8],
    ['f20f1008', 8],
    ['f30f7e08', 8],
    ['0f1208', 8],
    ['0f1708', 8],
    ['0f6008', 4],
    ['0f5a08', 8],
    ['f30fe608', 8],
    ['660f382008', 8],
    ['660f382108', 4],
    ['660f382208', 2],
    ['660f3a140800', 1],
    ['660f3a150800', 2],
    ['660fc40800', 2],
    ['660f3a200800', 1],
    ['660f3a210800', 4],
  ] as const;
  for (const [code, bytes] of forms) {
    state.gpr[RAX] = BigInt(GUEST_SIZE - bytes);
    assert.equal(run(code), undefined, code);
    state.gpr[RAX] = BigInt(GUEST_SIZE - bytes + 1);
    assert.equal(run(code), VECTOR.pf, code);
    reset();
  }
});

test('a load of a scalar clears the rest of the register, a move between registers keeps it', () => {
  put(0x10, ONE);
  setXmm(1, '1'.repeat(32));
  state.gpr[RAX] = 0x10n;
  run('f20f1008');
  assert.equal(xmm(1), ZEROES + ONE);
  setXmm(2, '2'.repeat(32));
  run('f20f10d1');
  assert.equal(xmm(2), '2'.repeat(16) + ONE);
});

test('masked stores leave the other bytes alone', () => {
  guest.fill(0x55);
  setXmm(1, '000102030405060708090a0b0c0d0e0f');
  setXmm(2, '80000000000000ff7f00000000000080');
  state.gpr[RDI] = 0x23n;
  assert.equal(run('660ff7ca'), undefined);
  const expected = `0f${'55'.repeat(7)}07${'55'.repeat(6)}00`;
  assert.equal(Buffer.from(guest.subarray(0x23, 0x33)).toString('hex'), expected);
  assert.equal(guest[0x33], 0x55);
});

test('a masked store that reaches a bad page stores nothing', () => {
  setXmm(2, 'f'.repeat(32));
  setXmm(1, 'f'.repeat(32));
  state.gpr[RDI] = BigInt(GUEST_SIZE - 8);
  assert.equal(run('660ff7ca'), VECTOR.pf);
  assert.deepEqual([...guest.subarray(GUEST_SIZE - 8)], Array(8).fill(0));
});

test('MMX instructions make all x87 registers valid; a pending exception comes first', () => {
  state.fpTop = 3;
  state.ftw = 0;
  state.fpr[4] = 5n;
  assert.equal(run('0ffdca'), undefined);
  assert.deepEqual([state.fpTop, state.ftw, state.fpr[2]], [0, 0xff, 5n]);
  state.fpTop = 3;
  state.fsw = 0x80;
  assert.equal(run('0ffdca'), VECTOR.mf);
  assert.equal(state.fpTop, 3);
  assert.equal(run('660ffdca'), undefined);
});

test('a conversion from memory to XMM leaves the x87 registers alone', () => {
  state.fpTop = 3;
  for (const code of ['0f2a08', '660f2a08']) assert.equal(run(code), undefined);
  assert.equal(state.fpTop, 3);
  run('0f2aca');
  assert.equal(state.fpTop, 0);
});

test('an unmasked exception leaves the destination, and is #UD where the system does not handle it', () => {
  for (const [cr4, vector] of [
    [CR4.osfxsr | CR4.osxmmexcpt, VECTOR.xm],
    [CR4.osfxsr, VECTOR.ud],
  ] as const) {
    reset();
    state.cr4 = BigInt(cr4);
    state.mxcsr = 0x1f80 & ~0x80;
    setXmm(1, ONE + ONE);
    setXmm(2, ONE + SIGNALLING);
    assert.equal(run('660f58ca'), vector);
    assert.equal(xmm(1), ONE + ONE);
    assert.equal(state.mxcsr, 0x1f01);
  }
});

test('exact results leave PE clear and inexact ones set it', () => {
  const third = '3fd5555555555555';
  const cases = [
    ['f20f58ca', ONE, ONE, '4000000000000000', 0],
    ['f20f59ca', '4008000000000000', '4014000000000000', '402e000000000000', 0],
    ['f20f59ca', third, ONE, third, 0],
    ['f20f5eca', ONE, '4008000000000000', third, 0x20],
    ['f20f5eca', '402e000000000000', '4008000000000000', '4014000000000000', 0],
    ['f20f51ca', ZEROES, '4022000000000000', '4008000000000000', 0],
    ['f20f51ca', ZEROES, '4000000000000000', '3ff6a09e667f3bcd', 0x20],
    ['f20f58ca', ONE, '3ca0000000000000', ONE, 0x20],
    ['f20f5cca', ONE, ONE, ZEROES, 0],
    ['f20f59ca', ONE, '8000000000000000', '8000000000000000', 0],
    ['f20f5eca', '8000000000000000', ONE, '8000000000000000', 0],
  ] as const;
  for (const [code, x, y, result, flags] of cases) {
    reset();
    setXmm(1, ZEROES + x);
    setXmm(2, ZEROES + y);
    assert.equal(run(code), undefined);
    assert.equal(xmm(1), ZEROES + result, code);
    assert.equal(state.mxcsr, 0x1f80 | flags, code);
  }
});

test('reciprocals are near, and exact where the manual says so', () => {
  setXmm(2, '40400000800000007f800000ffc00001');
  run('0f53ca');
  assert.equal(xmm(1).slice(8), 'ff80000000000000ffc00001');
  const float = new DataView(new ArrayBuffer(4));
  float.setUint32(0, Number.parseInt(xmm(1).slice(0, 8), 16));
  assert.ok(Math.abs(float.getFloat32(0) * 3 - 1) <= 1.5 * 2 ** -12);
  setXmm(2, '3f800000bf800000000000010000000f');
  run('0f52ca');
  assert.equal(xmm(1).slice(8), 'ffc000007f8000007f800000');
  assert.equal(state.mxcsr, 0x1f80);
});

test('PMULHRSW wraps only for the product of the least numbers', () => {
  setXmm(1, `${ZEROES}80008001800040${'00'}`);
  setXmm(2, `${ZEROES}80008000800140${'00'}`);
  run('660f380bca');
  assert.equal(xmm(1), `${ZEROES}80007fff7fff2000`);
});

test('fences have all eight register forms', () => {
  for (let i = 0xe8; i <= 0xff; i++) assert.equal(run(`0fae${i.toString(16)}`), undefined);
});
