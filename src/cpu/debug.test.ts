import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR4, EFLAGS, VECTOR } from '../isa/state.ts';
import {
  dataBreakpoints,
  instructionBreakpoints,
  ioBreakpoints,
  noteDebug,
  readDebugRegister,
  takeDebugTrap,
  watchesData,
  writeDebugRegister,
} from './debug.ts';
import { fault, longMode } from './fake-context.test-helper.ts';

/** DR7 with breakpoint `index` enabled for a condition (0 execute, 1 write, 2 I/O, 3 access) and a LEN code. */
const enable = (index: number, condition: number, length: number) =>
  BigInt(((length << 2) | condition) * 2 ** (16 + index * 4) + 2 ** (index * 2));

test('fixed and reserved bits', () => {
  const c = longMode();
  assert.ok(writeDebugRegister(c, 6, 0n));
  assert.ok(writeDebugRegister(c, 7, 0xffff_dfffn));
  assert.deepEqual([c.state.dr[6], c.state.dr[7]], [0xffff_0ff0n, 0xffff_07ffn]);
  assert.equal(writeDebugRegister(c, 7, 1n << 32n), false);
  assert.deepEqual(fault(c), [VECTOR.gp, 0]);
});

test('DR4 and DR5 stand for DR6 and DR7 unless CR4.DE', () => {
  const c = longMode();
  assert.equal(readDebugRegister(c, 5), 0x400n);
  c.state.cr4 |= BigInt(CR4.de);
  assert.equal(readDebugRegister(c, 5), undefined);
  assert.deepEqual(fault(c), [VECTOR.ud]);
});

test('general detect', () => {
  const c = longMode();
  c.state.dr[7] = 0x2400n;
  assert.equal(readDebugRegister(c, 0), undefined);
  assert.deepEqual(fault(c), [VECTOR.db]);
  assert.equal(c.state.dr[6] & 0x2000n, 0x2000n);
});

test('instruction breakpoints, held off by RF', () => {
  const { state } = longMode();
  state.dr[2] = 0x1234n;
  state.dr[7] = 0x400n | enable(2, 0, 0);
  assert.equal(instructionBreakpoints(state, 0x1234n), 4);
  assert.equal(instructionBreakpoints(state, 0x1235n), 0);
  state.eflags |= EFLAGS.rf;
  assert.equal(instructionBreakpoints(state, 0x1234n), 0);
});

test('data breakpoints: extent, alignment, kind of access', () => {
  const { state } = longMode();
  state.dr[0] = 0x1003n;
  state.dr[7] = 0x400n | enable(0, 1, 3);
  assert.equal(dataBreakpoints(state, 0x1000n, 1, true), 1, 'the register is aligned to its extent');
  assert.equal(dataBreakpoints(state, 0xfffn, 2, true), 1);
  assert.equal(dataBreakpoints(state, 0x1004n, 8, true), 0);
  assert.equal(dataBreakpoints(state, 0x1000n, 4, false), 0);
  state.dr[7] = 0x400n | enable(0, 3, 2);
  assert.equal(dataBreakpoints(state, 0x1007n, 1, false), 1, 'eight bytes');
  assert.ok(watchesData(state));
  state.dr[7] = 0x400n | enable(0, 0, 0);
  assert.equal(watchesData(state), false);
});

test('I/O breakpoints exist with CR4.DE alone', () => {
  const { state } = longMode();
  state.dr[3] = 0x3f8n;
  state.dr[7] = 0x400n | enable(3, 2, 1);
  assert.equal(ioBreakpoints(state, 0x3f9, 1), 0);
  state.cr4 |= BigInt(CR4.de);
  assert.equal(ioBreakpoints(state, 0x3f9, 1), 8);
});

test('traps are collected, wait for the end of a shadow, and go to DR6', () => {
  const { state } = longMode();
  state.debugPending = 2;
  state.interruptShadow = 2;
  assert.equal(takeDebugTrap(state, true), 0);
  state.interruptShadow = 0;
  const bits = takeDebugTrap(state, true);
  assert.equal(bits, 0x4002);
  assert.equal(state.debugPending, 0);
  state.dr[6] |= 1n;
  noteDebug(state, bits);
  assert.equal(state.dr[6], 0xffff_4ff2n);
});
