import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR0, CR4, EFLAGS, SEGMENT } from '../isa/state.ts';
import { fakeContext, longMode, protectedMode, RIGHTS } from './fake-context.test-helper.ts';
import { FLAGS_MASK, readFlags, writeFlags } from './flags.ts';
import {
  codeSize,
  keyCodeSize,
  keyCpl,
  keyFlat,
  keyProtected,
  keyStackSize,
  keyUnitFault,
  MODE,
  modeKey,
  stackSize,
} from './mode.ts';

test('sizes, level and kind of mode', () => {
  const rows = [
    [fakeContext(), 2, 2, 0, false],
    [protectedMode(3), 4, 4, 3, true],
    [longMode(3), 8, 8, 3, true],
  ] as const;
  for (const [c, code, stack, level, isProtected] of rows) {
    const key = modeKey(c.state);
    assert.deepEqual(
      [keyCodeSize(key), keyStackSize(key), keyCpl(key), keyProtected(key)],
      [code, stack, level, isProtected],
    );
    assert.deepEqual([codeSize(c.state), stackSize(c.state)], [code, stack]);
  }
});

test('compatibility mode is 32-bit code', () => {
  const c = longMode(3);
  c.state.segmentAttributes[SEGMENT.cs] = RIGHTS.code32;
  assert.equal(keyCodeSize(modeKey(c.state)), 4);
});

test('flat: any base, 4 GiB, the right kind', () => {
  const { state } = protectedMode();
  const flat = () => keyFlat(modeKey(state), SEGMENT.ds);
  assert.ok(flat());
  state.segmentBase[SEGMENT.ds] = 0x1234n;
  assert.ok(flat());
  for (const rights of [RIGHTS.readOnlyData, RIGHTS.expandDown32, RIGHTS.code32, 0xc013, 0x1c093]) {
    state.segmentAttributes[SEGMENT.ds] = rights;
    assert.equal(flat(), false, rights.toString(16));
  }
  state.segmentAttributes[SEGMENT.ds] = RIGHTS.data32;
  state.segmentLimit[SEGMENT.ds] = 0xffff_fffe;
  assert.equal(flat(), false);
  assert.ok(keyFlat(modeKey(state), SEGMENT.cs));
  assert.ok(keyFlat(modeKey(longMode().state), SEGMENT.ds));
});

test('which unit faults how', () => {
  const { state } = longMode();
  const faults = () => (['x87', 'mmx', 'sse', 'fwait'] as const).map((unit) => keyUnitFault(modeKey(state), unit));
  assert.deepEqual(faults(), [undefined, undefined, 6, undefined]);
  state.cr4 |= BigInt(CR4.osfxsr);
  state.cr0 |= BigInt(CR0.ts);
  assert.deepEqual(faults(), [7, 7, 7, undefined]);
  state.cr0 |= BigInt(CR0.mp);
  assert.equal(faults()[3], 7);
  state.cr0 |= BigInt(CR0.em);
  assert.deepEqual(faults(), [7, 6, 6, 7]);
});

test('what asks for a look after each instruction', () => {
  const { state } = longMode();
  const debug = () => (modeKey(state) & MODE.debug) !== 0;
  assert.equal(debug(), false);
  state.dr[7] = 0x401n;
  assert.ok(debug());
  state.dr[7] = 0x400n;
  state.eflags |= EFLAGS.tf;
  assert.ok(debug());
  state.eflags = 0;
  state.debugPending = 0x8000;
  assert.ok(debug());
});

test('flags survive the way to the stored form and back', () => {
  const { state } = longMode();
  for (let i = 0; i < 64; i++) {
    const status = (i & 1) | ((i & 2) << 1) | ((i & 4) << 2) | ((i & 24) << 3) | ((i & 32) << 6);
    writeFlags(state, status | EFLAGS.if);
    assert.equal(readFlags(state), status | EFLAGS.if | 2);
  }
  writeFlags(state, -1);
  assert.equal(readFlags(state), FLAGS_MASK | 2);
});
