import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTER } from './registers.ts';
import { apicRig, enable, enterX2apic, interrupt, read } from './rig.test-helper.ts';

const msr = (offset: number) => 0x800 + (offset >> 4);

function x2apicRig(count = 1) {
  const rig = apicRig(count);
  for (const apic of rig.apics) {
    enable(apic);
    enterX2apic(apic);
  }
  return rig;
}

test('the MSRs answer only in x2APIC mode, the page only outside it', () => {
  const { apic } = apicRig();
  assert.equal(apic.readMsr(0x802), undefined);
  assert.equal(apic.writeMsr(0x808, 0n), false);
  enterX2apic(apic);
  assert.equal(apic.readMsr(0x802), 0n);
  assert.equal(read(apic, REGISTER.version), 0xffff_ffff);
});

test('the logical id follows from the id', () => {
  const { apics } = x2apicRig(18);
  assert.equal(apics[17].readMsr(msr(REGISTER.id)), 17n);
  assert.equal(apics[17].readMsr(msr(REGISTER.ldr)), 0x1_0002n);
});

test('registers without an MSR and reserved bits raise #GP', () => {
  const { apic } = x2apicRig();
  for (const offset of [REGISTER.dfr, REGISTER.icrHigh, REGISTER.eoi, REGISTER.selfIpi, REGISTER.apr, 0x2f0, 0]) {
    assert.equal(apic.readMsr(msr(offset)), undefined, `read of 0x${offset.toString(16)}`);
  }
  const refused: [number, bigint][] = [
    [REGISTER.id, 0n],
    [REGISTER.ppr, 0n],
    [REGISTER.ldr, 0n],
    [REGISTER.isr, 0n],
    [REGISTER.currentCount, 0n],
    [REGISTER.tpr, 0x100n],
    [REGISTER.tpr, 1n << 32n],
    [REGISTER.eoi, 1n],
    [REGISTER.esr, 1n],
    [REGISTER.lvt, 0x100n],
    [REGISTER.divide, 4n],
    [REGISTER.selfIpi, 0x140n],
    [REGISTER.icrLow, 0x10_0040n],
  ];
  for (const [offset, value] of refused) {
    assert.equal(apic.writeMsr(msr(offset), value), false, `0x${value.toString(16)} to 0x${offset.toString(16)}`);
  }
  assert.equal(apic.readMsr(0x840), undefined);
});

test('task priority, EOI and self IPI work by MSR', () => {
  const { apic } = x2apicRig();
  assert.equal(apic.writeMsr(msr(REGISTER.selfIpi), 0x50n), true);
  assert.equal(apic.acknowledge(), 0x50);
  assert.equal(apic.readMsr(msr(REGISTER.ppr)), 0x50n);
  assert.equal(apic.writeMsr(msr(REGISTER.eoi), 0n), true);
  assert.equal(apic.readMsr(msr(REGISTER.ppr)), 0n);
  assert.equal(apic.writeMsr(msr(REGISTER.tpr), 0x60n), true);
  interrupt(apic, 0x61);
  assert.equal(apic.pending(), -1);
});

test('one 64-bit write of the ICR sends, to an id or to a set within a cluster', () => {
  const { apics } = x2apicRig(20);
  apics[0].writeMsr(msr(REGISTER.icrLow), (18n << 32n) | 0x41n);
  assert.equal(apics[0].readMsr(msr(REGISTER.icrLow)), (18n << 32n) | 0x41n);
  apics[0].writeMsr(msr(REGISTER.icrLow), (0x1_0009n << 32n) | 0x842n);
  const pending = apics.flatMap((apic) => (apic.pending() < 0 ? [] : [[apic.id, apic.pending()]]));
  assert.deepEqual(pending, [
    [16, 0x42],
    [18, 0x41],
    [19, 0x42],
  ]);
});

test('destination 0xff is one processor to an x2APIC; all ones is everybody', () => {
  const { apics } = x2apicRig(2);
  apics[0].writeMsr(msr(REGISTER.icrLow), (0xffn << 32n) | 0x41n);
  assert.equal(apics[1].pending(), -1);
  apics[0].writeMsr(msr(REGISTER.icrLow), (0xffff_ffffn << 32n) | 0x41n);
  assert.deepEqual([apics[0].pending(), apics[1].pending()], [0x41, 0x41]);
});
