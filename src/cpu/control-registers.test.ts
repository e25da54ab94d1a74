import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CR0, CR4, EFER, NO_FAULT, SEGMENT, VECTOR } from '../isa/state.ts';
import { invalidatePcid, loadMachineStatusWord, writeControlRegister } from './control-registers.ts';
import { fault, longMode, protectedMode, RIGHTS } from './fake-context.test-helper.ts';
import { isLong } from './mode.ts';

const PG = 0x8000_0000n;
const refused = [VECTOR.gp, 0];

describe('CR0', () => {
  test('combinations that are refused', () => {
    for (const [value, why] of [
      [PG, 'PG without PE'],
      [BigInt(CR0.pe | CR0.nw), 'NW without CD'],
      [1n << 32n, 'the upper half'],
    ] as const) {
      const c = protectedMode();
      assert.equal(writeControlRegister(c, 0, value), false, why);
      assert.deepEqual(fault(c), refused);
    }
  });
  test('ET stays set, reserved bits stay clear', () => {
    const c = protectedMode();
    assert.ok(writeControlRegister(c, 0, 0x0fc0_ffc1n));
    assert.equal(c.state.cr0, BigInt(CR0.pe | CR0.et));
  });
  test('paging with EFER.LME enters long mode, which needs PAE and a 32-bit TSS', () => {
    const c = protectedMode();
    c.state.efer = BigInt(EFER.lme);
    assert.equal(writeControlRegister(c, 0, PG | 1n), false);
    c.state.cr4 = BigInt(CR4.pae);
    c.state.segmentAttributes[SEGMENT.tr] = RIGHTS.tss16 | 2;
    assert.equal(writeControlRegister(c, 0, PG | 1n), false);
    c.state.segmentAttributes[SEGMENT.tr] = RIGHTS.tss32 | 2;
    c.state.faultVector = NO_FAULT;
    assert.ok(writeControlRegister(c, 0, PG | 1n));
    assert.ok(isLong(c.state));
    assert.equal(c.flushes.at(-1), 'all:0:0');
    // Compatibility mode may leave, 64-bit mode may not.
    assert.ok(writeControlRegister(c, 0, 1n));
    assert.equal(isLong(c.state), false);
    const l = longMode();
    assert.equal(writeControlRegister(l, 0, 1n), false);
  });
  test('PAE paging loads the page-directory pointers and refuses their reserved bits', () => {
    const c = protectedMode();
    c.state.cr4 = BigInt(CR4.pae);
    c.state.cr3 = 0x6020n;
    c.memory.setBigUint64(0x6020, 0x7001n, true);
    c.memory.setBigUint64(0x6028, 0x1e6n, true);
    assert.ok(writeControlRegister(c, 0, PG | 1n));
    assert.deepEqual([...c.state.pdpte], [0x7001n, 0x1e6n, 0n, 0n]);
    c.memory.setBigUint64(0x6060, 0x7003n, true);
    assert.equal(writeControlRegister(c, 3, 0x6060n), false);
    assert.equal(c.state.cr3, 0x6020n);
  });
  test('LMSW sets PE and does not clear it', () => {
    const c = protectedMode();
    assert.ok(loadMachineStatusWord(c, CR0.ts | CR0.mp));
    assert.equal(c.state.cr0, BigInt(CR0.pe | CR0.ts | CR0.mp | CR0.et));
  });
});

describe('CR4', () => {
  test('reserved bits, PAE in long mode, PCIDE outside it or with bits in CR3', () => {
    const c = longMode();
    for (const value of [0x21n, 0x22n, 0n, 0x1000n | 0x20n, 1n << 32n, 0x40_0020n]) {
      assert.equal(writeControlRegister(c, 4, value), false, value.toString(16));
    }
    c.state.cr3 = 0x18n;
    const pcide = BigInt(CR4.pcide | CR4.pae);
    assert.equal(writeControlRegister(c, 4, pcide), false);
    c.state.cr3 = 0n;
    assert.ok(writeControlRegister(c, 4, pcide));
    assert.equal(writeControlRegister(protectedMode(), 4, pcide), false);
  });
  test('a change of PGE forgets all translations, one of OSFXSR none', () => {
    const c = longMode();
    writeControlRegister(c, 4, BigInt(CR4.pae | CR4.osfxsr));
    assert.deepEqual(c.flushes, []);
    writeControlRegister(c, 4, BigInt(CR4.pae | CR4.pge));
    assert.deepEqual(c.flushes, ['all:0:0']);
  });
});

describe('CR3', () => {
  test('with PCIDs, bit 63 keeps translations and is not stored', () => {
    const c = longMode();
    c.state.cr4 = BigInt(CR4.pae | CR4.pcide);
    assert.ok(writeControlRegister(c, 3, (1n << 63n) | 0x7005n));
    assert.equal(c.state.cr3, 0x7005n);
    assert.deepEqual(c.flushes, []);
    assert.ok(writeControlRegister(c, 3, 0x7006n));
    assert.deepEqual(c.flushes, ['pcid:0:6']);
  });
  test('bits beyond the physical address', () => {
    const c = longMode();
    assert.equal(writeControlRegister(c, 3, 1n << 63n), false);
    assert.equal(writeControlRegister(c, 3, 1n << 40n), false);
    assert.ok(writeControlRegister(c, 3, 1n << 39n));
  });
});

test('CR8 is the task priority, CR1 does not exist', () => {
  const c = longMode();
  assert.ok(writeControlRegister(c, 8, 9n));
  assert.equal(c.apic.cr8(), 9);
  assert.equal(writeControlRegister(c, 8, 16n), false);
  assert.deepEqual(fault(c), refused);
  assert.equal(writeControlRegister(c, 1, 0n), false);
  assert.deepEqual(fault(c), [VECTOR.ud]);
});

test('INVPCID', () => {
  const c = longMode();
  assert.equal(invalidatePcid(c, 0n, 5n, 0n), false, 'a PCID while PCIDs are off');
  c.state.cr4 = BigInt(CR4.pae | CR4.pcide);
  assert.equal(invalidatePcid(c, 4n, 0n, 0n), false);
  assert.equal(invalidatePcid(c, 0n, 0x1000n, 0n), false);
  assert.equal(invalidatePcid(c, 0n, 1n, 1n << 50n), false);
  assert.ok(invalidatePcid(c, 0n, 5n, 0x4000n));
  assert.ok(invalidatePcid(c, 1n, 5n, 0n));
  assert.ok(invalidatePcid(c, 2n, 0n, 0n));
  assert.ok(invalidatePcid(c, 3n, 0n, 0n));
  assert.deepEqual(c.flushes, ['pcid-page:4000:5', 'pcid:0:5', 'all:0:0', 'non-global:0:0']);
});
