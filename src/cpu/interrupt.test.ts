import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EFLAGS, NO_FAULT, SEGMENT, VECTOR } from '../isa/state.ts';
import {
  dpl,
  fakeContext,
  fault,
  longMode,
  onStack,
  PLACE,
  protectedMode,
  putDescriptor,
  putGate,
  putLongGate,
  RIGHTS,
  SELECTOR,
} from './fake-context.test-helper.ts';
import { readFlags, writeFlags } from './flags.ts';
import { deliver, deliverFault, SHUTDOWN, softwareInterrupt } from './interrupt.ts';

describe('real mode', () => {
  test('pushes FLAGS, CS, IP and clears IF and TF', () => {
    const c = fakeContext();
    c.memory.setUint16(0x21 * 4, 0x1234, true);
    c.memory.setUint16(0x21 * 4 + 2, 0xf00, true);
    c.state.segmentSelector[SEGMENT.cs] = 0x700;
    c.state.rip = 0x55n;
    c.state.gpr[4] = 0x2000n;
    writeFlags(c.state, EFLAGS.if | EFLAGS.tf | EFLAGS.cf);
    deliver(c, 0x21, 'hardware');
    assert.equal(c.state.rip, 0x1234n);
    assert.equal(c.state.segmentSelector[SEGMENT.cs], 0xf00);
    assert.equal(c.state.segmentBase[SEGMENT.cs], 0xf000n);
    assert.deepEqual(
      [0, 1, 2].map((i) => onStack(c, i, 2)),
      [0x55n, 0x700n, BigInt(2 | EFLAGS.if | EFLAGS.tf | 1)],
    );
    assert.equal(c.state.eflags & (EFLAGS.if | EFLAGS.tf), 0);
  });

  test('exceptions push no error code', () => {
    const c = fakeContext();
    c.state.gpr[4] = 0x2000n;
    deliver(c, VECTOR.gp, 'exception', 0);
    assert.equal(c.state.gpr[4], 0x1ffan);
  });

  test('a vector outside the table ends in shutdown when #GP and #DF are outside as well', () => {
    const c = fakeContext();
    c.state.idtrLimit = 3;
    deliver(c, 0x21, 'hardware');
    assert.equal(c.state.activity, SHUTDOWN);
  });
});

describe('32-bit gates', () => {
  test('from level 3: the stack comes from the TSS, the frame holds SS:ESP and the error code', () => {
    const c = protectedMode(3);
    putGate(c, PLACE.idt + 14 * 8, 14, SELECTOR.code, 0x12345678);
    c.state.rip = 0x400n;
    c.state.gpr[4] = 0x7000n;
    c.state.faultAddress = 0xdead000n;
    writeFlags(c.state, EFLAGS.if | EFLAGS.zf);
    deliver(c, VECTOR.pf, 'exception', 6);
    assert.equal(c.state.cpl, 0);
    assert.equal(c.state.rip, 0x12345678n);
    assert.equal(c.state.cr2, 0xdead000n);
    assert.equal(c.state.gpr[4], BigInt(PLACE.inner - 24));
    const flags = BigInt(2 | EFLAGS.if | EFLAGS.zf | EFLAGS.rf);
    const frame = [6n, 0x400n, BigInt(SELECTOR.userCode), flags, 0x7000n, BigInt(SELECTOR.userData)];
    assert.deepEqual(
      frame.map((_, i) => onStack(c, i, 4)),
      frame,
    );
    assert.equal(c.state.segmentSelector[SEGMENT.ss], SELECTOR.data);
    assert.equal(c.state.eflags & EFLAGS.if, 0);
    assert.ok((readFlags(c.state) & EFLAGS.zf) !== 0);
  });

  test('a trap gate leaves IF, a 16-bit gate pushes words', () => {
    const c = protectedMode();
    putGate(c, PLACE.idt + 0x40 * 8, 7, SELECTOR.code, 0x9999);
    c.state.rip = 0x400n;
    writeFlags(c.state, EFLAGS.if);
    deliver(c, 0x40, 'hardware');
    assert.equal(c.state.rip, 0x9999n);
    assert.equal(c.state.gpr[4], BigInt(PLACE.stack - 6));
    assert.deepEqual(
      [0, 1].map((i) => onStack(c, i, 2)),
      [0x400n, BigInt(SELECTOR.code)],
    );
    assert.equal(c.state.eflags & EFLAGS.if, EFLAGS.if);
  });

  test('INT n needs the gate to be open to the program; hardware does not', () => {
    const c = protectedMode(3);
    putGate(c, PLACE.idt + 0x40 * 8, 14, SELECTOR.code, 0x9999);
    assert.equal(softwareInterrupt(c, 0x40, 'software', 2n), false);
    assert.deepEqual(fault(c), [VECTOR.gp, 0x40 * 8 + 2]);
    c.state.faultVector = NO_FAULT;
    assert.equal(softwareInterrupt(c, 0x40, 'privileged-software', 2n), true);
    assert.equal(c.state.cpl, 0);
  });

  const faults: [string, (c: ReturnType<typeof protectedMode>) => void, number, number][] = [
    ['beyond the limit', (c) => (c.state.idtrLimit = 0x40 * 8 + 6), VECTOR.gp, 0x202],
    ['of a wrong type', (c) => c.memory.setUint8(PLACE.idt + 0x205, 0xec), VECTOR.gp, 0x202],
    ['not present', (c) => c.memory.setUint8(PLACE.idt + 0x205, 0x6e), VECTOR.np, 0x202],
    ['with a null selector', (c) => c.memory.setUint16(PLACE.idt + 0x202, 3, true), VECTOR.gp, 0],
    ['to a data segment', (c) => c.memory.setUint16(PLACE.idt + 0x202, 0x10, true), VECTOR.gp, 0x10],
    ['to an absent segment', (c) => c.memory.setUint8(PLACE.gdt + 13, 0x1b), VECTOR.np, 8],
    ['with a null inner stack', (c) => c.memory.setUint16(PLACE.tss + 8, 0, true), VECTOR.ts, 0],
    ['with a stack of another level', (c) => c.memory.setUint16(PLACE.tss + 8, 0x23, true), VECTOR.ts, 0x20],
    ['with an absent stack', (c) => c.memory.setUint8(PLACE.gdt + 0x15, 0x13), VECTOR.ss, 0x10],
    ['with a TSS too short', (c) => (c.state.segmentLimit[SEGMENT.tr] = 6), VECTOR.ts, 0x28],
  ];
  for (const [name, spoil, vector, error] of faults) {
    test(`a gate ${name}`, () => {
      const c = protectedMode(3);
      putGate(c, PLACE.idt + 0x40 * 8, 14, SELECTOR.code, 0x9999, 3);
      spoil(c);
      assert.equal(softwareInterrupt(c, 0x40, 'software', 2n), false);
      assert.deepEqual(fault(c), [vector, error]);
      assert.equal(c.state.cpl, 3);
    });
  }

  test('faults during the delivery of an interrupt have EXT set and report the original address', () => {
    const c = protectedMode();
    putGate(c, PLACE.idt + 0x40 * 8, 14, 0x60, 0x9999);
    putGate(c, PLACE.idt + 13 * 8, 14, SELECTOR.code, 0x1313);
    c.state.rip = 0x777n;
    deliver(c, 0x40, 'hardware');
    assert.equal(c.state.rip, 0x1313n);
    assert.deepEqual(
      [0, 1].map((i) => onStack(c, i, 4)),
      [0x61n, 0x777n],
    );
  });

  test('from virtual-8086 mode: data segments are pushed and cleared', () => {
    const c = protectedMode(3);
    const { state } = c;
    for (let s = 0; s < 6; s++) state.segmentSelector[s] = 0x100 + s;
    state.eflags = EFLAGS.vm | EFLAGS.if | (3 << 12);
    state.gpr[4] = 0xfffen;
    state.rip = 0x42n;
    putGate(c, PLACE.idt + 0x40 * 8, 14, SELECTOR.code, 0x9999);
    deliver(c, 0x40, 'hardware');
    const frame = [0x42, 0x101, EFLAGS.vm | EFLAGS.if | (3 << 12) | 0x46, 0xfffe, 0x102, 0x100, 0x103, 0x104, 0x105];
    assert.equal(onStack(c, 0, 4), 0x42n);
    assert.deepEqual(
      [1, 3, 4, 5, 6, 7, 8].map((i) => Number(onStack(c, i, 4))),
      [1, 3, 4, 5, 6, 7, 8].map((i) => frame[i]),
    );
    assert.equal(state.eflags & EFLAGS.vm, 0);
    assert.equal(state.segmentSelector[SEGMENT.ds], 0);
    assert.equal(state.segmentAttributes[SEGMENT.ds] >> 16, 1);
    assert.equal(state.cpl, 0);
  });
});

describe('long mode', () => {
  test('same level: aligned frame of five quadwords', () => {
    const c = longMode();
    putLongGate(c, 0x40, 14, SELECTOR.code, 0xffff_8000_1234_5678n);
    c.state.rip = 0x11n;
    c.state.gpr[4] = BigInt(PLACE.stack + 5);
    deliver(c, 0x40, 'hardware');
    assert.equal(c.state.rip, 0xffff_8000_1234_5678n);
    assert.equal(c.state.gpr[4], BigInt(PLACE.stack - 40));
    const frame = [0x11n, BigInt(SELECTOR.code), undefined, BigInt(PLACE.stack + 5), BigInt(SELECTOR.data)];
    frame.forEach((value, i) => {
      if (value !== undefined) assert.equal(onStack(c, i, 8), value);
    });
    assert.equal(c.state.segmentSelector[SEGMENT.ss], SELECTOR.data);
  });

  test('from level 3: RSP0, null SS; IST replaces it', () => {
    for (const ist of [0, 3]) {
      const c = longMode(3);
      c.memory.setBigUint64(PLACE.tss + 28 + 3 * 8, 0xa000n, true);
      putLongGate(c, VECTOR.gp, 14, SELECTOR.code, 0x9999n, { ist });
      c.state.rip = 0x11n;
      deliver(c, VECTOR.gp, 'exception', 0x18);
      assert.equal(c.state.gpr[4], BigInt((ist === 0 ? PLACE.inner : 0xa000) - 48));
      assert.equal(onStack(c, 0, 8), 0x18n);
      assert.equal(c.state.segmentSelector[SEGMENT.ss], 0);
      assert.equal(c.state.cpl, 0);
    }
  });

  test('a handler in a 32-bit segment, a non-canonical handler or stack', () => {
    const run = (spoil: (c: ReturnType<typeof longMode>) => void) => {
      const c = longMode(3);
      putLongGate(c, 0x40, 14, SELECTOR.code, 0x9999n, { level: 3 });
      spoil(c);
      softwareInterrupt(c, 0x40, 'software', 2n);
      return fault(c);
    };
    assert.deepEqual(
      run((c) => putDescriptor(c, SELECTOR.code, 0, 0xfffff, RIGHTS.code32)),
      [VECTOR.gp, 8],
    );
    assert.deepEqual(
      run((c) => c.memory.setUint32(PLACE.idt + 0x408, 0x8000, true)),
      [VECTOR.gp, 0],
    );
    assert.deepEqual(
      run((c) => c.memory.setBigUint64(PLACE.tss + 4, 1n << 63n, true)),
      [VECTOR.ss, 0],
    );
  });

  test('#PF while #PF is delivered is a double fault, and a third ends in shutdown', () => {
    const c = longMode(3);
    putLongGate(c, VECTOR.pf, 14, SELECTOR.code, 0x1414n);
    putLongGate(c, VECTOR.df, 14, SELECTOR.code, 0x0808n, { ist: 1 });
    c.memory.setBigUint64(PLACE.tss + 36, 0xa000n, true);
    c.absent.add((PLACE.inner - 1) >> 12);
    c.state.rip = 0x11n;
    deliver(c, VECTOR.pf, 'exception', 4);
    assert.equal(c.state.rip, 0x0808n);
    assert.equal(onStack(c, 0, 8), 0n);
    assert.equal(onStack(c, 1, 8), 0x11n);
    assert.equal(c.state.cr2, BigInt(PLACE.inner - 8));
    c.state.idtrLimit = 0;
    deliver(c, VECTOR.pf, 'exception', 4);
    assert.equal(c.state.activity, SHUTDOWN);
  });

  test('a page fault during the delivery of an interrupt is an ordinary page fault', () => {
    const c = longMode(3);
    putLongGate(c, 0x40, 14, SELECTOR.code, 0x4040n);
    putLongGate(c, VECTOR.pf, 14, SELECTOR.code, 0x1414n, { ist: 1 });
    c.memory.setBigUint64(PLACE.tss + 36, 0xa000n, true);
    c.absent.add((PLACE.inner - 1) >> 12);
    deliver(c, 0x40, 'hardware');
    assert.equal(c.state.rip, 0x1414n);
  });

  test('NMIs block further NMIs; #DB clears DR7.GD', () => {
    const c = longMode();
    putLongGate(c, 1, 14, SELECTOR.code, 0x1n);
    putLongGate(c, 2, 14, SELECTOR.code, 0x2n);
    c.state.dr[7] = 0x2400n;
    deliver(c, 2, 'nmi');
    assert.equal(c.state.nmiBlocked, 1);
    deliver(c, 1, 'exception');
    assert.equal(c.state.dr[7], 0x400n);
  });

  test('deliverFault takes vector and error code from the fault fields and clears them', () => {
    const c = longMode();
    putLongGate(c, VECTOR.gp, 14, SELECTOR.code, 0x1313n);
    Object.assign(c.state, { faultVector: VECTOR.gp, faultHasError: 1, faultError: 0x30 });
    deliverFault(c);
    assert.equal(onStack(c, 0, 8), 0x30n);
    assert.equal(c.state.faultVector, NO_FAULT);
  });
});

test('a conforming handler runs at the level of the program', () => {
  const c = protectedMode(3);
  putGate(c, PLACE.idt + 0x40 * 8, 14, SELECTOR.conforming, 0x9999);
  deliver(c, 0x40, 'hardware');
  assert.equal(c.state.cpl, 3);
  assert.equal(c.state.segmentSelector[SEGMENT.cs], SELECTOR.conforming | 3);
  assert.equal(c.state.gpr[4], BigInt(PLACE.stack - 12));
});

test('a handler beyond its segment raises #GP', () => {
  const c = protectedMode();
  putDescriptor(c, SELECTOR.spare, 0, 0xfff, dpl(RIGHTS.code16, 0) | 0x4000);
  putGate(c, PLACE.idt + 0x40 * 8, 14, SELECTOR.spare, 0x1000);
  assert.equal(softwareInterrupt(c, 0x40, 'software', 2n), false);
  assert.deepEqual(fault(c), [VECTOR.gp, 0]);
});
