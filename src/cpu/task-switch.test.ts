import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CR0, EFLAGS, SEGMENT, VECTOR } from '../isa/state.ts';
import {
  changeBefore,
  type FakeContext,
  fault,
  onStack,
  PLACE,
  protectedMode,
  putDescriptor,
  putGate,
  RIGHTS,
  SELECTOR,
} from './fake-context.test-helper.ts';
import { interruptReturn } from './far-return.ts';
import { farCall, farJump } from './far-transfer.ts';
import { readFlags, writeFlags } from './flags.ts';
import { deliver, softwareInterrupt } from './interrupt.ts';

const { gp, np, ts } = VECTOR;
const target = (selector: number) => ({ selector, offset: 0n, size: 4 as const, nextIp: 0x42n });
const busy = (c: FakeContext, selector: number) => (c.memory.getUint8(PLACE.gdt + selector + 5) & 2) !== 0;

interface Task {
  ip?: number;
  flags?: number;
  segments?: number[];
  cr3?: number;
  ldt?: number;
  trap?: number;
}

/** A 32-bit task at `PLACE.tss2` in flat segments at level 0. */
function prepared(task: Task = {}, level: 0 | 3 = 0): FakeContext {
  const c = protectedMode(level);
  const at = PLACE.tss2;
  const { data, code } = SELECTOR;
  c.memory.setUint32(at + 0x1c, task.cr3 ?? 0, true);
  c.memory.setUint32(at + 0x20, task.ip ?? 0x600, true);
  c.memory.setUint32(at + 0x24, task.flags ?? 2, true);
  for (let i = 0; i < 8; i++) c.memory.setUint32(at + 0x28 + i * 4, i === 4 ? 0x9800 : 0x100 + i, true);
  (task.segments ?? [data, code, data, data, data, data]).forEach((s, i) => {
    c.memory.setUint32(at + 0x48 + i * 4, s, true);
  });
  c.memory.setUint32(at + 0x60, task.ldt ?? 0, true);
  c.memory.setUint16(at + 0x64, task.trap ?? 0, true);
  return c;
}

describe('JMP to a TSS', () => {
  test('saves the old task, loads the new one, moves the busy bit', () => {
    const c = prepared({ flags: EFLAGS.if | EFLAGS.cf });
    c.state.gpr[0] = 0xabcdn;
    c.state.dr[7] = 0x403n;
    writeFlags(c.state, EFLAGS.zf);
    assert.ok(farJump(c, target(SELECTOR.tss2)));
    assert.equal(c.memory.getUint32(PLACE.tss + 0x20, true), 0x42);
    assert.equal(c.memory.getUint32(PLACE.tss + 0x24, true), EFLAGS.zf | 2);
    assert.equal(c.memory.getUint32(PLACE.tss + 0x28, true), 0xabcd);
    assert.equal(c.memory.getUint16(PLACE.tss + 0x4c, true), SELECTOR.code);
    assert.deepEqual([c.state.rip, c.state.gpr[0], c.state.gpr[4]], [0x600n, 0x100n, 0x9800n]);
    assert.equal(readFlags(c.state), 2 | EFLAGS.if | EFLAGS.cf);
    assert.deepEqual([busy(c, SELECTOR.tss), busy(c, SELECTOR.tss2)], [false, true]);
    assert.equal(c.state.segmentSelector[SEGMENT.tr], SELECTOR.tss2);
    assert.equal(Number(c.state.cr0) & CR0.ts, CR0.ts);
    assert.equal(c.state.dr[7], 0x402n);
    assert.equal(c.state.poll, 1, 'IF rose');
  });
  test('the T bit traps, CR3 is loaded where paging is on', () => {
    const c = prepared({ trap: 1, cr3: 0x7000 });
    c.state.cr0 |= 0x8000_0000n;
    assert.ok(farJump(c, target(SELECTOR.tss2)));
    assert.equal(c.state.debugPending, 0x8000);
    assert.equal(c.state.cr3, 0x7000n);
  });
  test('refused: busy, absent, too short, an inner level', () => {
    const run = (spoil: (c: FakeContext) => void, level: 0 | 3 = 0) => {
      const c = prepared({}, level);
      spoil(c);
      assert.equal(farJump(c, target(SELECTOR.tss2)), false);
      assert.equal(c.state.segmentSelector[SEGMENT.tr], SELECTOR.tss);
      assert.equal(busy(c, SELECTOR.tss), true);
      return fault(c);
    };
    const describeTss = (limit: number, rights: number) => (c: FakeContext) =>
      putDescriptor(c, SELECTOR.tss2, PLACE.tss2, limit, rights);
    assert.deepEqual(run(describeTss(0x67, 0x8b)), [gp, SELECTOR.tss2]);
    assert.deepEqual(run(describeTss(0x67, 0x09)), [np, SELECTOR.tss2]);
    assert.deepEqual(run(describeTss(0x66, 0x89)), [ts, SELECTOR.tss2]);
    const takenBefore = (c: FakeContext) => changeBefore(c, PLACE.gdt + SELECTOR.tss2 + 5, 0x8b);
    assert.deepEqual(run(takenBefore), [gp, SELECTOR.tss2]);
    assert.deepEqual(
      run(() => {}, 3),
      [gp, SELECTOR.tss2],
    );
    assert.deepEqual(
      run((c) => c.absent.add(PLACE.tss2 >> 12)),
      [VECTOR.pf, 0],
    );
  });
});

describe('nesting', () => {
  test('CALL links back and sets NT; IRET returns and clears it', () => {
    const c = prepared();
    assert.ok(farCall(c, target(SELECTOR.tss2)));
    assert.equal(c.memory.getUint16(PLACE.tss2, true), SELECTOR.tss);
    assert.equal(c.state.eflags & EFLAGS.nt, EFLAGS.nt);
    assert.deepEqual([busy(c, SELECTOR.tss), busy(c, SELECTOR.tss2)], [true, true]);
    assert.ok(interruptReturn(c, 4, 0x77n));
    assert.deepEqual([busy(c, SELECTOR.tss), busy(c, SELECTOR.tss2)], [true, false]);
    assert.equal(c.state.rip, 0x42n);
    assert.equal(c.state.eflags & EFLAGS.nt, 0);
    assert.equal(c.memory.getUint32(PLACE.tss2 + 0x20, true), 0x77);
    assert.equal(c.memory.getUint32(PLACE.tss2 + 0x24, true) & EFLAGS.nt, 0);
  });
  test('IRET to a task that is not busy raises #TS', () => {
    const c = prepared();
    c.state.eflags |= EFLAGS.nt;
    c.memory.setUint16(PLACE.tss, SELECTOR.tss2, true);
    assert.equal(interruptReturn(c, 4, 0n), false);
    assert.deepEqual(fault(c), [ts, SELECTOR.tss2]);
  });
  test('a task gate takes an exception; the error code goes to the new stack', () => {
    const c = prepared();
    putGate(c, PLACE.idt + 10 * 8, 5, SELECTOR.tss2, 0);
    c.state.rip = 0x111n;
    deliver(c, 10, 'exception', 0x1234);
    assert.equal(c.state.rip, 0x600n);
    assert.deepEqual([onStack(c, 0, 4), c.state.gpr[4]], [0x1234n, 0x97fcn]);
    assert.equal(c.memory.getUint32(PLACE.tss + 0x20, true), 0x111);
  });
  test('INT through a task gate returns after the instruction', () => {
    const c = prepared();
    putGate(c, PLACE.idt + 0x40 * 8, 5, SELECTOR.tss2, 0);
    assert.ok(softwareInterrupt(c, 0x40, 'software', 0x222n));
    assert.equal(c.memory.getUint32(PLACE.tss + 0x20, true), 0x222);
  });
});

describe('faults of the new task', () => {
  const cases: [string, Task, number, number][] = [
    ['a null CS', { segments: [0x10, 0, 0x10, 0x10, 0, 0] }, ts, 0],
    ['data as CS', { segments: [0x10, 0x10, 0x10, 0x10, 0, 0] }, ts, 0x10],
    ['SS of another level', { segments: [0x10, 0x08, 0x23, 0x10, 0, 0] }, ts, 0x20],
    ['DS beyond the table', { segments: [0x10, 0x08, 0x10, 0x200, 0, 0] }, ts, 0x200],
    ['an LDT that is none', { ldt: 0x10 }, ts, 0x10],
  ];
  for (const [name, task, vector, error] of cases) {
    test(name, () => {
      const c = prepared(task);
      // The handler is a task of its own: the broken one has no stack to speak of.
      putDescriptor(c, SELECTOR.spare, 0x6000, 0x67, RIGHTS.tss32);
      c.memory.setUint32(0x6020, 0x900, true);
      c.memory.setUint32(0x6038, 0xa000, true);
      [0x10, 0x08, 0x10, 0x10, 0, 0].forEach((s, i) => {
        c.memory.setUint32(0x6048 + i * 4, s, true);
      });
      putGate(c, PLACE.idt + vector * 8, 5, SELECTOR.spare, 0);
      assert.ok(farJump(c, target(SELECTOR.tss2)));
      assert.equal(c.state.segmentSelector[SEGMENT.tr], SELECTOR.spare);
      assert.equal(Number(onStack(c, 0, 4)), error);
      assert.equal(c.memory.getUint32(PLACE.tss2 + 0x20, true), 0x600, 'the fault is at its first instruction');
    });
  }
});

test('a 16-bit TSS', () => {
  const c = prepared();
  putDescriptor(c, SELECTOR.tss2, PLACE.tss2, 0x2b, RIGHTS.tss16);
  const words = [
    0x0600,
    0x0002,
    1,
    2,
    3,
    4,
    0x8888,
    6,
    7,
    8,
    SELECTOR.data,
    SELECTOR.code,
    SELECTOR.data,
    SELECTOR.data,
    0,
  ];
  words.forEach((word, i) => {
    c.memory.setUint16(PLACE.tss2 + 0x0e + i * 2, word, true);
  });
  assert.ok(farJump(c, target(SELECTOR.tss2)));
  assert.deepEqual([c.state.rip, c.state.gpr[0], c.state.gpr[4]], [0x600n, 1n, 0x8888n]);
  assert.equal(c.state.segmentAttributes[SEGMENT.fs] >> 16, 1);
});

test('to a task in virtual-8086 mode', () => {
  const c = prepared({ flags: EFLAGS.vm | 2, segments: [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000] });
  assert.ok(farJump(c, target(SELECTOR.tss2)));
  assert.equal(c.state.cpl, 3);
  assert.equal(c.state.segmentBase[SEGMENT.cs], 0x20000n);
});
