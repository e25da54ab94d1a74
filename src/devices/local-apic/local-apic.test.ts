import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDevice } from '../conformance.test-helper.ts';
import { LVT, LVT_MASKED, MSR_APIC_BASE, REGISTER } from './registers.ts';
import { apicRig, enable, enterX2apic, interrupt, makeApics, read, write } from './rig.test-helper.ts';

const lvt = (index: number) => REGISTER.lvt + index * 16;

checkDevice('local-apic', (timers, place) => makeApics(1, timers, place).apic);
checkDevice('local-apic, switched on', (timers, place) => {
  const { apic } = makeApics(1, timers, place);
  const { reset } = apic;
  const start = () => {
    reset();
    enable(apic);
  };
  return { ...apic, reset: start };
});

test('registers after power-up', () => {
  const { apics } = apicRig(3);
  const [boot, , third] = apics;
  assert.equal(boot.readMsr(MSR_APIC_BASE), 0xfee0_0900n);
  assert.equal(third.readMsr(MSR_APIC_BASE), 0xfee0_0800n);
  assert.equal(read(third, REGISTER.id), 0x0200_0000);
  assert.equal(read(boot, REGISTER.version), 0x0105_0014);
  assert.equal(read(boot, REGISTER.svr), 0xff);
  assert.equal(read(boot, REGISTER.dfr), 0xffff_ffff);
  assert.equal(read(boot, lvt(LVT.error)), LVT_MASKED);
});

test('the highest vector above the task priority is delivered', () => {
  const { apic } = apicRig();
  enable(apic);
  assert.equal(apic.pending(), -1);
  interrupt(apic, 0x31);
  interrupt(apic, 0x52);
  assert.equal(apic.pending(), 0x52);
  apic.setCr8(5);
  assert.equal(apic.pending(), -1);
  assert.equal(read(apic, REGISTER.tpr), 0x50);
  apic.setCr8(4);
  assert.equal(apic.pending(), 0x52);
  assert.equal(apic.state.pendingSummary[0], 0x152);
});

test('an interrupt in service holds back its class until the EOI', () => {
  const { apic } = apicRig();
  enable(apic);
  interrupt(apic, 0x52);
  assert.equal(apic.acknowledge(), 0x52);
  assert.equal(read(apic, REGISTER.ppr), 0x50);
  interrupt(apic, 0x5f);
  assert.equal(apic.pending(), -1);
  interrupt(apic, 0x61);
  assert.equal(apic.acknowledge(), 0x61);
  write(apic, REGISTER.eoi, 0);
  assert.equal(apic.pending(), -1);
  write(apic, REGISTER.eoi, 0);
  assert.equal(apic.pending(), 0x5f);
  write(apic, REGISTER.eoi, 0);
  assert.equal(apic.pending(), 0x5f, 'an EOI with nothing in service does nothing');
});

test('IRR, ISR and TMR read back', () => {
  const { apic } = apicRig();
  enable(apic);
  interrupt(apic, 0xff, 'level');
  assert.deepEqual([read(apic, 0x270), read(apic, 0x1f0), read(apic, 0x170)], [0x8000_0000, 0x8000_0000, 0]);
  apic.acknowledge();
  assert.deepEqual([read(apic, 0x270), read(apic, 0x170)], [0, 0x8000_0000]);
});

test('an interrupt withdrawn before the acknowledge gives the spurious vector', () => {
  const { apic } = apicRig();
  enable(apic);
  interrupt(apic, 0x52);
  apic.setCr8(15);
  assert.equal(apic.acknowledge(), 0xff);
  assert.equal(read(apic, REGISTER.ppr), 0xf0);
});

test('only level-triggered interrupts tell the I/O APIC of their EOI, unless that is suppressed', () => {
  const { apic, eois } = apicRig();
  enable(apic);
  const serve = (trigger: 'edge' | 'level') => {
    interrupt(apic, 0x60, trigger);
    apic.acknowledge();
    write(apic, REGISTER.eoi, 0);
  };
  serve('edge');
  serve('level');
  assert.deepEqual(eois, [0x60]);
  write(apic, REGISTER.svr, 0x11ff);
  serve('level');
  assert.deepEqual(eois, [0x60]);
});

test('disabled by software it takes no interrupts and keeps its entries masked', () => {
  const { apic } = apicRig();
  write(apic, lvt(LVT.timer), 0x40);
  assert.equal(read(apic, lvt(LVT.timer)), LVT_MASKED | 0x40);
  assert.equal(interrupt(apic, 0x50), false);
  enable(apic);
  write(apic, lvt(LVT.timer), 0x40);
  assert.equal(read(apic, lvt(LVT.timer)), 0x40);
  write(apic, REGISTER.svr, 0xff);
  assert.equal(read(apic, lvt(LVT.timer)), LVT_MASKED | 0x40);
});

test('an interrupt accepted before the software disable is still delivered', () => {
  const { apic } = apicRig();
  enable(apic);
  interrupt(apic, 0x50);
  write(apic, REGISTER.svr, 0xff);
  assert.equal(apic.acknowledge(), 0x50);
});

test('LINT0 in ExtINT mode listens to the PIC', () => {
  const { apic } = apicRig();
  enable(apic);
  assert.equal(apic.acceptsExtInt(), false);
  write(apic, lvt(LVT.lint0), 0x700);
  assert.equal(apic.acceptsExtInt(), true);
  write(apic, lvt(LVT.lint0), LVT_MASKED | 0x700);
  assert.equal(apic.acceptsExtInt(), false);
  apic.deliver({ destination: 0, logical: false, mode: 7, vector: 0, level: true, trigger: 'edge' });
  assert.equal(apic.acceptsExtInt(), true);
  apic.acknowledgeExtInt();
  assert.equal(apic.acceptsExtInt(), false);
});

test('LINT1 in NMI mode raises an NMI at each rise', () => {
  const { apic, signals } = apicRig();
  enable(apic);
  apic.lint1.set(true);
  assert.deepEqual(signals, []);
  write(apic, lvt(LVT.lint1), 0x400);
  apic.lint1.set(false);
  apic.lint1.set(true);
  apic.lint1.set(true);
  assert.deepEqual(signals, ['nmi 0']);
});

test('a level-triggered LINT0 comes again after its EOI while asserted', () => {
  const { apic } = apicRig();
  enable(apic);
  apic.lint0.set(true);
  write(apic, lvt(LVT.lint0), 0x8070);
  assert.equal(read(apic, lvt(LVT.lint0)), 0xc070);
  assert.equal(apic.acknowledge(), 0x70);
  assert.equal(apic.pending(), -1);
  write(apic, REGISTER.eoi, 0);
  assert.equal(apic.acknowledge(), 0x70);
  apic.lint0.set(false);
  write(apic, REGISTER.eoi, 0);
  assert.equal(apic.pending(), -1);
});

test('errors show after ESR is written and interrupt once until then', () => {
  const { apic } = apicRig();
  enable(apic);
  write(apic, lvt(LVT.error), 0x80);
  read(apic, 0x2f0);
  interrupt(apic, 3);
  assert.equal(apic.acknowledge(), 0x80);
  write(apic, REGISTER.eoi, 0);
  assert.equal(read(apic, REGISTER.esr), 0);
  write(apic, REGISTER.esr, 0);
  assert.equal(read(apic, REGISTER.esr), 0xc0);
  write(apic, REGISTER.esr, 0);
  assert.equal(read(apic, REGISTER.esr), 0);
  assert.equal(apic.pending(), -1);
});

test('an error interrupt with an illegal vector of its own does not recurse', () => {
  const { apic } = apicRig();
  enable(apic);
  write(apic, lvt(LVT.error), 1);
  write(apic, REGISTER.icrLow, 0x4_0005);
  write(apic, REGISTER.esr, 0);
  assert.equal(read(apic, REGISTER.esr), 0x60);
});

test('an APIC switched off loses its state and leaves its pins to the processor', () => {
  const { apic, signals } = apicRig();
  enable(apic);
  interrupt(apic, 0x50);
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfee0_0100n), true);
  assert.deepEqual(
    [apic.pending(), apic.acceptsExtInt(), apic.enabled(), apic.baseAddress()],
    [-1, true, false, undefined],
  );
  apic.lint1.set(true);
  assert.deepEqual(signals, ['nmi 0']);
  assert.equal(read(apic, REGISTER.version), 0xffff_ffff);
  assert.equal(
    apic.accepts({ destination: 0, logical: false, mode: 0, vector: 80, level: true, trigger: 'edge' }),
    false,
  );
});

test('IA32_APIC_BASE refuses reserved bits and transitions that do not exist', () => {
  const { apic } = apicRig();
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfee0_0901n), false);
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 1n << 40n), false);
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfee0_0500n), false, 'x2APIC without enable');
  enterX2apic(apic);
  assert.equal(apic.readMsr(MSR_APIC_BASE), 0xfee0_0d00n);
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfee0_0900n), false, 'x2APIC to xAPIC');
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfee0_0100n), true);
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfee0_0d00n), false, 'disabled to x2APIC');
  assert.equal(apic.writeMsr(MSR_APIC_BASE, 0xfec0_0900n), true);
  assert.equal(apic.baseAddress(), 0xfec0_0000);
});
