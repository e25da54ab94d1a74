import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EFER, SEGMENT, VECTOR } from '../isa/state.ts';
import { fault, longMode } from './fake-context.test-helper.ts';
import { tscScale } from './kvm-clock.ts';
import { readMsr, writeMsr } from './msr.ts';
import { readTsc } from './tsc.ts';

const NON_CANONICAL = 1n << 47n;

describe('#GP(0)', () => {
  const refused: [string, number, bigint][] = [
    ['FS base', 0xc000_0100, NON_CANONICAL],
    ['LSTAR', 0xc000_0082, NON_CANONICAL],
    ['SYSENTER_EIP', 0x176, NON_CANONICAL],
    ['EFER', 0xc000_0080, 1n << 12n],
    ['PAT', 0x277, 0x0007_0406_0007_0402n],
    ['MTRR_DEF_TYPE', 0x2ff, 0xc02n],
    ['a variable range beyond the physical address', 0x200, 1n << 40n],
    ['SPEC_CTRL', 0x48, 4n],
    ['PRED_CMD', 0x49, 2n],
    ['ARCH_CAPABILITIES', 0x10a, 0n],
    ['TSC_AUX', 0xc000_0103, 1n << 32n],
    ['an unknown register', 0x9999, 0n],
    ['steal time, which is not claimed', 0x4b56_4d03, 1n],
  ];
  for (const [name, index, value] of refused) {
    test(name, () => {
      const c = longMode();
      assert.equal(writeMsr(c, index, value), false);
      assert.deepEqual(fault(c), [VECTOR.gp, 0]);
      assert.equal(c.logged.length, 1);
    });
  }
  test('reads of write-only and unknown registers', () => {
    for (const index of [0x49, 0x9999]) {
      const c = longMode();
      assert.equal(readMsr(c, index), undefined);
      assert.deepEqual(fault(c), [VECTOR.gp, 0]);
    }
  });
});

test('EFER: LMA cannot be written, LME not while paging is on', () => {
  const c = longMode();
  assert.ok(writeMsr(c, 0xc000_0080, BigInt(EFER.lme | EFER.nxe)));
  assert.equal(readMsr(c, 0xc000_0080), BigInt(EFER.lme | EFER.lma | EFER.nxe));
  assert.equal(c.flushes.length, 1);
  assert.equal(writeMsr(c, 0xc000_0080, 0n), false);
});

test('what Linux asks about speculation', () => {
  const capabilities = readMsr(longMode(), 0x10a) as bigint;
  for (const bit of [0n, 1n, 3n, 4n, 5n, 6n, 8n, 13n, 14n, 15n, 20n, 24n, 26n, 27n])
    assert.ok((capabilities >> bit) & 1n, String(bit));
  for (const bit of [2n, 7n, 17n, 19n, 28n]) assert.equal((capabilities >> bit) & 1n, 0n, String(bit));
});

test('bases are those of the segment registers', () => {
  const c = longMode();
  assert.ok(writeMsr(c, 0xc000_0101, 0xffff_8000_0000_0000n));
  assert.equal(c.state.segmentBase[SEGMENT.gs], 0xffff_8000_0000_0000n);
  assert.equal(readMsr(c, 0xc000_0101), 0xffff_8000_0000_0000n);
});

test('MTRRs, fast strings, microcode, no machine-check banks', () => {
  const c = longMode();
  assert.equal(readMsr(c, 0xfe), 0x508n);
  assert.ok(
    writeMsr(c, 0x200, 0x8000_0006n) &&
      writeMsr(c, 0x201, 0xff_8000_0800n) &&
      writeMsr(c, 0x26f, 0x0505_0505_0505_0505n),
  );
  assert.deepEqual(
    [readMsr(c, 0x200), readMsr(c, 0x201), readMsr(c, 0x26f)],
    [0x8000_0006n, 0xff_8000_0800n, 0x0505_0505_0505_0505n],
  );
  assert.ok(writeMsr(c, 0x1a0, 1n));
  assert.equal(readMsr(c, 0x1a0), 0x1801n);
  assert.ok(writeMsr(c, 0x8b, 0n));
  assert.notEqual(readMsr(c, 0x8b), 0n);
  assert.equal(readMsr(c, 0x179), 0n);
});

test('TSC and TSC_ADJUST move together', () => {
  const c = longMode();
  c.ticks = 1000n;
  assert.ok(writeMsr(c, 0x10, 5000n));
  assert.deepEqual([readTsc(c), readMsr(c, 0x3b)], [5000n, 4000n]);
  assert.ok(writeMsr(c, 0x3b, 0n));
  assert.equal(readTsc(c), 1000n);
});

test('IA32_APIC_BASE is the local APIC’s', () => {
  const c = longMode();
  assert.ok(writeMsr(c, 0x1b, 0xfee0_0d00n));
  assert.equal(readMsr(c, 0x1b), 0xfee0_0d00n);
  assert.equal(writeMsr(c, 0x800, 0n), false);
});

describe('kvmclock', () => {
  const TIME = 0x6000;
  test('the guest computes the time from what it finds', () => {
    const c = longMode();
    c.ticks = 10_000n;
    c.memory.setUint32(TIME, 6, true);
    assert.ok(writeMsr(c, 0x4b56_4d01, BigInt(TIME | 1)));
    const version = c.memory.getUint32(TIME, true);
    assert.equal(version, 8);
    const stamp = c.memory.getBigUint64(TIME + 8, true);
    const base = c.memory.getBigUint64(TIME + 16, true);
    const multiplier = BigInt(c.memory.getUint32(TIME + 24, true));
    const shift = c.memory.getInt8(TIME + 28);
    assert.equal(c.memory.getUint8(TIME + 29), 1);
    c.ticks = 2_000_010_000n;
    let delta = readTsc(c) - stamp;
    delta = shift >= 0 ? delta << BigInt(shift) : delta >> BigInt(-shift);
    assert.equal(base + ((delta * multiplier) >> 32n), 1_000_005_000n);
  });
  test('nothing is written without the enable bit', () => {
    const c = longMode();
    assert.ok(writeMsr(c, 0x4b56_4d01, BigInt(TIME)));
    assert.equal(c.memory.getUint32(TIME, true), 0);
  });
  test('the wall clock', () => {
    const c = longMode();
    assert.ok(writeMsr(c, 0x4b56_4d00, BigInt(TIME)));
    assert.deepEqual(
      [0, 4, 8].map((o) => c.memory.getUint32(TIME + o, true)),
      [2, 1_700_000_000, 123_456_789],
    );
  });
  test('scales of slow and fast counters', () => {
    for (const frequency of [1e6, 999_999_999, 1e9, 1_000_000_001, 2.4e9, 5e9]) {
      const { multiplier, shift } = tscScale(frequency);
      assert.ok(multiplier >= 1n << 31n && multiplier < 1n << 32n, String(frequency));
      const nanoseconds = (Number(multiplier) / 2 ** 32) * 2 ** shift;
      assert.ok(Math.abs(nanoseconds * frequency - 1e9) < 1, String(frequency));
    }
  });
});
