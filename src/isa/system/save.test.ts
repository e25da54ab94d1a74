import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { CR0, CR4 } from '../state.ts';
import { createRig, PLACE } from './rig.test-helper.ts';

const rig = createRig();
const { state } = rig;
const AT = [0x25, PLACE.data & 0xff, PLACE.data >> 8, 0, 0];
const fxsave = (wide: boolean) => [...(wide ? [0x48] : []), 0x0f, 0xae, 0x04, ...AT];
const fxrstor = (wide: boolean) => [...(wide ? [0x48] : []), 0x0f, 0xae, 0x0c, ...AT];
const view = () => new DataView(Uint8Array.from(rig.read(PLACE.data, 576)).buffer);

function fill(): void {
  state.cr4 = BigInt(CR4.osfxsr | CR4.osxsave);
  state.xcr0 = 3n;
  state.fcw = 0x27f;
  state.fsw = 0x4100;
  state.fpTop = 5;
  state.ftw = 0xe0;
  state.fop = 0x123;
  state.fip = 0x1234_5678_9abcn;
  state.fdp = 0x4321_8765_cba9n;
  state.fcs = 0x33;
  state.fds = 0x2b;
  for (let i = 0; i < 8; i++) {
    state.fpr[i * 2] = 0x8000_0000_0000_0000n + BigInt(i);
    state.fpr[i * 2 + 1] = 0x4000n + BigInt(i);
  }
  for (let i = 0; i < 16; i++) {
    state.xmm[i * 4] = 0x1111n * BigInt(i + 1);
    state.xmm[i * 4 + 1] = 0x2222n * BigInt(i + 1);
  }
  state.mxcsr = 0x1fa0;
}

const snapshot = () => [
  ...[state.fcw, state.fsw, state.fpTop, state.ftw, state.fop, state.fcs, state.fds, state.mxcsr],
  ...[state.fip, state.fdp, ...state.fpr, ...state.xmm],
];

beforeEach(() => {
  state.fpr.fill(0n);
  state.xmm.fill(0n);
});

test('the image of FXSAVE64', () => {
  rig.run(64, fxsave(true), 1, fill);
  const v = view();
  assert.equal(v.getUint16(0, true), 0x27f);
  assert.equal(v.getUint16(2, true), 0x4100 | (5 << 11));
  assert.equal(v.getUint8(4), 0xe0);
  assert.equal(v.getUint16(6, true), 0x123);
  assert.equal(v.getBigUint64(8, true), 0x1234_5678_9abcn);
  assert.equal(v.getBigUint64(16, true), 0x4321_8765_cba9n);
  assert.equal(v.getUint32(24, true), 0x1fa0);
  assert.equal(v.getUint32(28, true), 0xffff);
  // ST0 is register 5.
  assert.equal(v.getBigUint64(32, true), 0x8000_0000_0000_0005n);
  assert.equal(v.getUint16(40, true), 0x4005);
  assert.equal(v.getBigUint64(32 + 7 * 16, true), 0x8000_0000_0000_0004n);
  assert.equal(v.getBigUint64(160 + 15 * 16, true), 0x1_1110n);
  assert.equal(v.getBigUint64(168 + 15 * 16, true), 0x2_2220n);
});

test('FXSAVE without REX.W has selectors; outside 64-bit mode only eight XMM registers', () => {
  rig.run(32, [0x0f, 0xae, 0x05, ...AT.slice(1)], 1, fill);
  const v = view();
  assert.equal(v.getUint32(8, true), 0x5678_9abc);
  assert.equal(v.getUint16(12, true), 0x33);
  assert.equal(v.getUint16(20, true), 0x2b);
  assert.equal(v.getBigUint64(160 + 7 * 16, true), 0x8888n);
  assert.equal(v.getBigUint64(160 + 8 * 16, true), 0n);
});

test('FXRSTOR undoes FXSAVE', () => {
  rig.start(64, [...fxsave(true), ...fxrstor(true)]);
  fill();
  state.fcs = 0;
  state.fds = 0;
  const before = snapshot();
  rig.vcpu.stateReplaced();
  rig.vcpu.run(1, true);
  Object.assign(state, { fcw: 0x37f, fsw: 0, fpTop: 0, ftw: 0, fop: 0, fip: 0n, fdp: 0n, mxcsr: 0x1f80 });
  state.fpr.fill(0n);
  for (let i = 0; i < 16; i++) state.xmm.fill(0n, i * 4, i * 4 + 2);
  rig.vcpu.run(1, true);
  assert.deepEqual(rig.exceptions, []);
  assert.deepEqual(snapshot(), before);
});

test('misaligned areas, TS, EM and bits that MXCSR does not have', () => {
  rig.run(64, [0x0f, 0xae, 0x04, 0x25, 8, 0x60, 0, 0], 1, fill);
  assert.equal(rig.exceptions[0], '13:0');
  rig.run(64, fxsave(false), 1, () => (state.cr0 |= BigInt(CR0.ts)));
  assert.equal(rig.exceptions[0], 7);
  rig.run(64, fxrstor(false), 1, () => rig.write(PLACE.data + 24, [0, 0, 1, 0]));
  assert.equal(rig.exceptions[0], '13:0');
});

const xsave = [0x48, 0x0f, 0xae, 0x24, ...AT];
const xrstor = [0x48, 0x0f, 0xae, 0x2c, ...AT];

test('XSAVE writes the components asked for and notes them in the header', () => {
  rig.run(64, xsave, 1, () => {
    fill();
    state.gpr[0] = 2n;
    rig.write(PLACE.data + 512, [1, 0, 0, 0]);
  });
  const v = view();
  assert.equal(v.getUint16(0, true), 0);
  assert.equal(v.getBigUint64(160, true), 0x1111n);
  assert.equal(v.getUint32(24, true), 0x1fa0);
  assert.equal(v.getBigUint64(512, true), 3n);
});

test('XRSTOR initialises components that the image does not have', () => {
  rig.run(64, xrstor, 1, () => {
    fill();
    state.gpr[0] = 3n;
    rig.write(PLACE.data + 24, [0x80, 0x1f, 0, 0]);
    rig.write(PLACE.data + 160, [0x77]);
    rig.write(PLACE.data + 512, [2]);
  });
  assert.deepEqual(rig.exceptions, []);
  assert.deepEqual([state.fcw, state.ftw, state.fpr[0], state.mxcsr], [0x37f, 0, 0n, 0x1f80]);
  assert.equal(state.xmm[0], 0x77n);
});

test('XRSTOR refuses headers that it does not know', () => {
  for (const [offset, byte] of [
    [512, 4],
    [520, 1],
    [528, 1],
  ] as const) {
    rig.run(64, xrstor, 1, () => {
      fill();
      rig.write(PLACE.data + offset, [byte]);
    });
    assert.equal(rig.exceptions[0], '13:0', String(offset));
    assert.equal(state.fcw, 0x27f);
  }
});

test('XSAVE and XGETBV need CR4.OSXSAVE; XSETBV takes x87 with or without SSE', () => {
  for (const code of [xsave, [0x0f, 0x01, 0xd0], [0x0f, 0x01, 0xd1]]) {
    rig.run(64, code, 1);
    assert.equal(rig.exceptions[0], 6);
  }
  for (const [value, refused] of [
    [1n, false],
    [3n, false],
    [2n, true],
    [7n, true],
    [0n, true],
  ] as const) {
    rig.run(64, [0x0f, 0x01, 0xd1], 1, () => {
      state.cr4 = BigInt(CR4.osxsave);
      state.gpr[0] = value;
    });
    assert.equal(rig.exceptions.length > 0, refused, String(value));
    if (!refused) assert.equal(state.xcr0, value);
  }
});

test('LDMXCSR and STMXCSR', () => {
  rig.run(64, [0x0f, 0xae, 0x14, ...AT, 0x0f, 0xae, 0x1c, 0x25, 4, 0x60, 0, 0], 2, () => {
    fill();
    rig.write(PLACE.data, [0xc0, 0x9f, 0, 0]);
  });
  assert.equal(state.mxcsr, 0x9fc0);
  assert.deepEqual(rig.read(PLACE.data + 4, 4), [0xc0, 0x9f, 0, 0]);
});
