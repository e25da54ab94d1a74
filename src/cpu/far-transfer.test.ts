import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EFLAGS, SEGMENT, VECTOR } from '../isa/state.ts';
import {
  dpl,
  type FakeContext,
  fakeContext,
  fault,
  longMode,
  onStack,
  PLACE,
  protectedMode,
  putDescriptor,
  putGate,
  RIGHTS,
  SELECTOR,
} from './fake-context.test-helper.ts';
import { farReturn, interruptReturn } from './far-return.ts';
import { farCall, farJump } from './far-transfer.ts';
import { readFlags, writeFlags } from './flags.ts';

const { gp, np, ss, ts } = VECTOR;
const to = (selector: number, offset = 0x100n, size: 2 | 4 | 8 = 4) => ({ selector, offset, size, nextIp: 0x42n });

/** Puts values on the stack, the first at the stack pointer. */
function stack(c: FakeContext, size: 2 | 4 | 8, ...values: readonly (number | bigint)[]): void {
  const at = Number(c.state.gpr[4]);
  values.forEach((value, i) => {
    c.writeLinear(BigInt(at + i * size), size, BigInt(value), 0);
  });
}

describe('JMP and CALL to code', () => {
  const cases: [string, number, number, 0 | 3, ReturnType<typeof fault>][] = [
    ['non-conforming at this level', RIGHTS.code32, 0, 0, undefined],
    ['non-conforming by a selector of an outer level', RIGHTS.code32, 3, 0, [gp, 0x58]],
    ['non-conforming of an inner level', RIGHTS.code32, 0, 3, [gp, 0x58]],
    ['conforming of an inner level', RIGHTS.conforming32, 0, 3, undefined],
    ['conforming of an outer level', dpl(RIGHTS.conforming32, 3), 0, 0, [gp, 0x58]],
    ['absent', 0xc01b, 0, 0, [np, 0x58]],
    ['data', RIGHTS.data32, 0, 0, [gp, 0x58]],
  ];
  for (const [name, rights, rpl, level, expected] of cases) {
    test(name, () => {
      const c = protectedMode(level);
      putDescriptor(c, SELECTOR.spare, 0, 0xfffff, rights);
      assert.equal(farJump(c, to(SELECTOR.spare | rpl)), expected === undefined);
      assert.deepEqual(fault(c), expected);
      if (expected === undefined) assert.equal(c.state.segmentSelector[SEGMENT.cs], SELECTOR.spare | level);
    });
  }
  test('CALL pushes CS and the return address at the operand size', () => {
    const c = protectedMode();
    assert.ok(farCall(c, to(SELECTOR.code16, 0x100n, 2)));
    assert.deepEqual([onStack(c, 0, 2), onStack(c, 1, 2)], [0x42n, BigInt(SELECTOR.code)]);
    assert.equal(c.state.rip, 0x100n);
  });
  test('beyond the limit, null', () => {
    const c = protectedMode();
    assert.equal(farJump(c, to(SELECTOR.code16, 0x10000n)), false);
    assert.deepEqual(fault(c), [gp, 0]);
    assert.equal(farJump(c, to(2)), false);
    assert.deepEqual(fault(c), [gp, 0]);
  });
  test('real mode', () => {
    const c = fakeContext();
    c.state.gpr[4] = 0x1_2000n;
    assert.ok(farCall(c, to(0x1234, 0x10n, 2)));
    assert.deepEqual([c.state.segmentBase[SEGMENT.cs], c.state.rip, c.state.gpr[4]], [0x12340n, 0x10n, 0x1_1ffcn]);
  });
  test('long mode: L and D together, an address that is not canonical', () => {
    const c = longMode();
    putDescriptor(c, SELECTOR.spare, 0, 0xfffff, 0xe09b);
    assert.equal(farJump(c, to(SELECTOR.spare)), false);
    assert.deepEqual(fault(c), [gp, SELECTOR.spare]);
    assert.equal(farJump(c, to(SELECTOR.code, 1n << 50n, 8)), false);
    assert.deepEqual(fault(c), [gp, 0]);
    assert.equal(farJump(c, to(SELECTOR.tss2)), false);
    assert.deepEqual(fault(c), [gp, SELECTOR.tss2]);
  });
});

describe('call gates', () => {
  const gate = (c: FakeContext, selector: number, level: number, parameters = 0, type = 12) =>
    putGate(c, PLACE.gdt + SELECTOR.spare, type, selector, 0x1234, level, parameters);

  test('to an inner level: parameters move to the new stack', () => {
    const c = protectedMode(3);
    gate(c, SELECTOR.code, 3, 2);
    stack(c, 4, 0xaaaa, 0xbbbb);
    assert.ok(farCall(c, to(SELECTOR.spare | 3)));
    assert.equal(c.state.cpl, 0);
    assert.equal(c.state.rip, 0x1234n);
    const frame = [0x42, SELECTOR.userCode, 0xaaaa, 0xbbbb, PLACE.stack, SELECTOR.userData];
    assert.deepEqual(
      frame.map((_, i) => Number(onStack(c, i, 4))),
      frame,
    );
    // And back, releasing the parameters on both stacks.
    assert.ok(farReturn(c, 4, 8));
    assert.deepEqual([c.state.cpl, c.state.gpr[4], c.state.rip], [3, BigInt(PLACE.stack + 8), 0x42n]);
  });
  test('a JMP does not change the level', () => {
    const c = protectedMode(3);
    gate(c, SELECTOR.code, 3);
    assert.equal(farJump(c, to(SELECTOR.spare | 3)), false);
    assert.deepEqual(fault(c), [gp, SELECTOR.code]);
    gate(c, SELECTOR.conforming, 3);
    assert.ok(farJump(c, to(SELECTOR.spare | 3)));
    assert.equal(c.state.cpl, 3);
  });
  test('closed to the program, absent, a null target, no room', () => {
    const run = (spoil: (c: FakeContext) => void) => {
      const c = protectedMode(3);
      gate(c, SELECTOR.code, 3);
      spoil(c);
      assert.equal(farCall(c, to(SELECTOR.spare | 3)), false);
      assert.equal(c.state.cpl, 3);
      return fault(c);
    };
    assert.deepEqual(
      run((c) => gate(c, SELECTOR.code, 0)),
      [gp, SELECTOR.spare],
    );
    assert.deepEqual(
      run((c) => c.memory.setUint8(PLACE.gdt + SELECTOR.spare + 5, 0x6c)),
      [np, SELECTOR.spare],
    );
    assert.deepEqual(
      run((c) => gate(c, 0, 3)),
      [gp, 0],
    );
    assert.deepEqual(
      run((c) => gate(c, SELECTOR.data, 3)),
      [gp, SELECTOR.data],
    );
    assert.deepEqual(
      run((c) => c.memory.setUint16(PLACE.tss + 8, 0x33, true)),
      [ts, 0x30],
    );
    assert.deepEqual(
      run((c) => putDescriptor(c, SELECTOR.data, 0, 0x0ff, RIGHTS.data16 | 0x4000)),
      [ss, SELECTOR.data],
    );
  });
  test('64-bit: sixteen bytes, a null SS, no parameters', () => {
    const c = longMode(3);
    gate(c, SELECTOR.code, 3);
    c.memory.setUint32(PLACE.gdt + SELECTOR.spare + 8, 0xffff_8000, true);
    assert.ok(farCall(c, to(SELECTOR.spare | 3)));
    assert.equal(c.state.rip, 0xffff_8000_0000_1234n);
    assert.equal(c.state.segmentSelector[SEGMENT.ss], 0);
    const frame = [0x42, SELECTOR.userCode, PLACE.stack, SELECTOR.userData];
    assert.deepEqual(
      frame.map((_, i) => Number(onStack(c, i, 8))),
      frame,
    );
    assert.ok(farReturn(c, 8, 0));
    assert.deepEqual([c.state.cpl, c.state.gpr[4]], [3, BigInt(PLACE.stack)]);
  });
});

describe('RETF', () => {
  test('to an outer level drops segments that the level may not keep', () => {
    const c = protectedMode();
    stack(c, 4, 0x500, SELECTOR.userCode, 0x7000, SELECTOR.userData);
    c.state.segmentSelector[SEGMENT.fs] = SELECTOR.userData;
    c.state.segmentAttributes[SEGMENT.fs] = dpl(RIGHTS.data32, 3);
    assert.ok(farReturn(c, 4, 0));
    assert.deepEqual([c.state.cpl, c.state.rip, c.state.gpr[4]], [3, 0x500n, 0x7000n]);
    assert.equal(c.state.segmentSelector[SEGMENT.ds], 0);
    assert.equal(c.state.segmentSelector[SEGMENT.fs], SELECTOR.userData);
  });
  test('never to an inner level', () => {
    const c = protectedMode(3);
    stack(c, 4, 0x500, SELECTOR.code);
    assert.equal(farReturn(c, 4, 0), false);
    assert.deepEqual(fault(c), [gp, SELECTOR.code]);
  });
  test('with a stack of the wrong level, null or absent', () => {
    for (const [selector, expected] of [
      [SELECTOR.data, [gp, SELECTOR.data]],
      [0, [gp, 0]],
      [0x5b, [ss, 0x58]],
    ] as const) {
      const c = protectedMode();
      putDescriptor(c, SELECTOR.spare, 0, 0xfffff, 0xc073);
      stack(c, 4, 0x500, SELECTOR.userCode, 0x7000, selector);
      assert.equal(farReturn(c, 4, 0), false);
      assert.deepEqual(fault(c), expected);
      assert.equal(c.state.cpl, 0);
    }
  });
});

describe('IRET', () => {
  test('real mode: 16 bits of flags', () => {
    const c = fakeContext();
    c.state.gpr[4] = 0x2000n;
    stack(c, 2, 0x10, 0x1234, EFLAGS.if | EFLAGS.cf);
    assert.ok(interruptReturn(c, 2, 0n));
    assert.equal(c.state.segmentBase[SEGMENT.cs], 0x12340n);
    assert.equal(readFlags(c.state), 2 | EFLAGS.if | EFLAGS.cf);
  });
  test('level 3 cannot change IOPL, nor IF above IOPL', () => {
    const c = protectedMode(3);
    stack(c, 4, 0x500, SELECTOR.userCode, EFLAGS.if | (3 << 12) | EFLAGS.df);
    assert.ok(interruptReturn(c, 4, 0n));
    assert.equal(readFlags(c.state), 2 | EFLAGS.df);
  });
  test('to virtual-8086 mode', () => {
    const c = protectedMode();
    stack(c, 4, 0x500, 0x1000, EFLAGS.vm | EFLAGS.if | (2 << 12), 0xfff0, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000);
    assert.ok(interruptReturn(c, 4, 0n));
    assert.deepEqual([...c.state.segmentSelector.subarray(0, 6)], [0x3000, 0x1000, 0x2000, 0x4000, 0x5000, 0x6000]);
    assert.deepEqual([c.state.cpl, c.state.gpr[4], c.state.rip], [3, 0xfff0n, 0x500n]);
    assert.equal(c.state.segmentBase[SEGMENT.gs], 0x60000n);
    assert.equal(readFlags(c.state), 2 | EFLAGS.vm | EFLAGS.if | (2 << 12));
    // IRET in virtual-8086 mode below IOPL 3 is for the monitor to emulate.
    assert.equal(interruptReturn(c, 2, 0n), false);
    assert.deepEqual(fault(c), [gp, 0]);
  });
  test('64-bit: SS and RSP always, null SS below level 3', () => {
    const c = longMode();
    stack(c, 8, 0xffff_8000_0000_0000n, SELECTOR.code, EFLAGS.if, 0x7001, 0);
    c.state.nmiBlocked = 1;
    assert.ok(interruptReturn(c, 8, 0n));
    assert.deepEqual([c.state.rip, c.state.gpr[4]], [0xffff_8000_0000_0000n, 0x7001n]);
    assert.equal(c.state.nmiBlocked, 0);
    assert.equal(c.state.poll, 1, 'an interrupt may wait');
  });
  test('64-bit: to compatibility mode at level 3', () => {
    const c = longMode();
    putDescriptor(c, SELECTOR.spare, 0, 0xfffff, dpl(RIGHTS.code32, 3));
    stack(c, 8, 0x500, SELECTOR.spare | 3, EFLAGS.if, 0x7000, SELECTOR.userData);
    assert.ok(interruptReturn(c, 8, 0n));
    assert.deepEqual([c.state.cpl, c.state.rip, c.state.gpr[4]], [3, 0x500n, 0x7000n]);
  });
  test('64-bit: null SS at level 3, an address that is not canonical, NT', () => {
    const run = (ip: bigint, cs: number, stackSelector: number, flags = 0) => {
      const c = longMode();
      writeFlags(c.state, flags);
      stack(c, 8, ip, cs, EFLAGS.if, 0x7000, stackSelector);
      assert.equal(interruptReturn(c, 8, 0n), false);
      return fault(c);
    };
    assert.deepEqual(run(0x500n, SELECTOR.userCode, 0), [gp, 0]);
    assert.deepEqual(run(1n << 60n, SELECTOR.code, 0), [gp, 0]);
    assert.deepEqual(run(0x500n, SELECTOR.code, 0, EFLAGS.nt), [gp, 0]);
  });
});
