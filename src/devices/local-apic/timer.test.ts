import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LVT_MASKED, MSR_TSC_DEADLINE, REGISTER } from './registers.ts';
import { apicRig, enable, read, write } from './rig.test-helper.ts';

const BY_ONE = 0xb;
const PERIODIC = 0x2_0000;
const TSC_DEADLINE = 0x4_0000;

function rig() {
  const made = apicRig();
  const { apic } = made;
  enable(apic);
  write(apic, REGISTER.divide, BY_ONE);
  /** Serves what is pending; the number of interrupts served. */
  const serve = () => {
    if (apic.pending() < 0) return 0;
    apic.acknowledge();
    write(apic, REGISTER.eoi, 0);
    return 1;
  };
  return { ...made, serve };
}

test('one-shot: counts down, interrupts once, stays at 0', () => {
  const { apic, timers, serve } = rig();
  write(apic, REGISTER.lvt, 0x40);
  write(apic, REGISTER.initialCount, 1_000_000);
  timers.advance(400_000);
  assert.equal(read(apic, REGISTER.currentCount), 600_000);
  timers.advance(599_999);
  assert.deepEqual([read(apic, REGISTER.currentCount), apic.pending()], [1, -1]);
  timers.advance(1);
  assert.equal(apic.pending(), 0x40);
  assert.equal(serve(), 1);
  timers.advance(1e9);
  assert.deepEqual([read(apic, REGISTER.currentCount), apic.pending(), timers.armed], [0, -1, 0]);
});

test('the divide configuration', () => {
  for (const [configuration, divisor] of [
    [0, 2],
    [1, 4],
    [2, 8],
    [3, 16],
    [8, 32],
    [9, 64],
    [10, 128],
    [11, 1],
  ]) {
    const { apic, timers } = rig();
    write(apic, REGISTER.divide, configuration);
    write(apic, REGISTER.initialCount, 1_000_000);
    timers.advance(1280);
    assert.equal(read(apic, REGISTER.currentCount), 1_000_000 - 1280 / divisor, `configuration ${configuration}`);
  }
});

test('a change of the divider keeps the count', () => {
  const { apic, timers } = rig();
  write(apic, REGISTER.initialCount, 10_000);
  timers.advance(4_000);
  write(apic, REGISTER.divide, 0);
  assert.equal(read(apic, REGISTER.currentCount), 6_000);
  timers.advance(4_000);
  assert.equal(read(apic, REGISTER.currentCount), 4_000);
});

test('periodic: an interrupt each period, without drift', () => {
  const { apic, timers, serve } = rig();
  write(apic, REGISTER.lvt, PERIODIC | 0x40);
  write(apic, REGISTER.initialCount, 1_000_000);
  let served = 0;
  for (let i = 0; i < 1000; i++) {
    timers.advance(1_000_000);
    served += serve();
  }
  assert.equal(served, 1000);
  timers.advance(999_999);
  assert.deepEqual([read(apic, REGISTER.currentCount), apic.pending()], [1, -1]);
});

test('missed periods are one interrupt, and a tiny period does not flood', () => {
  const { apic, timers, serve } = rig();
  write(apic, REGISTER.lvt, PERIODIC | 0x40);
  write(apic, REGISTER.initialCount, 1);
  timers.advance(1_000_000);
  assert.equal(serve(), 1);
  let served = 0;
  for (let i = 0; i < 10_000; i++) {
    timers.advance(1_000);
    served += serve();
  }
  assert.ok(served >= 50 && served <= 101, `${served} interrupts in 10 ms`);
});

test('a masked timer counts without an alarm, and what expires masked is lost', () => {
  const { apic, timers } = rig();
  write(apic, REGISTER.lvt, LVT_MASKED | 0x40);
  write(apic, REGISTER.initialCount, 1_000);
  assert.equal(timers.armed, 0);
  timers.advance(400);
  assert.equal(read(apic, REGISTER.currentCount), 600);
  timers.advance(1_000);
  write(apic, REGISTER.lvt, 0x40);
  timers.advance(1_000);
  assert.equal(apic.pending(), -1);
});

test('a masked periodic timer keeps its phase', () => {
  const { apic, timers } = rig();
  write(apic, REGISTER.lvt, LVT_MASKED | PERIODIC | 0x40);
  write(apic, REGISTER.initialCount, 1_000_000);
  timers.advance(2_500_000);
  write(apic, REGISTER.lvt, PERIODIC | 0x40);
  timers.advance(499_999);
  assert.equal(apic.pending(), -1);
  timers.advance(1);
  assert.equal(apic.pending(), 0x40);
});

test('an initial count of 0 and the software disable stop the alarm', () => {
  const { apic, timers } = rig();
  write(apic, REGISTER.lvt, PERIODIC | 0x40);
  write(apic, REGISTER.initialCount, 1_000_000);
  assert.equal(timers.armed, 1);
  write(apic, REGISTER.initialCount, 0);
  assert.equal(timers.armed, 0);
  write(apic, REGISTER.initialCount, 1_000_000);
  write(apic, REGISTER.svr, 0xff);
  assert.equal(timers.armed, 0);
});

test('TSC deadline: interrupts at the tick and reads 0 afterwards', () => {
  const { apic, timers } = rig();
  write(apic, REGISTER.lvt, TSC_DEADLINE | 0x40);
  apic.writeMsr(MSR_TSC_DEADLINE, 2_000_000n);
  assert.equal(apic.readMsr(MSR_TSC_DEADLINE), 2_000_000n);
  timers.advance(999_999);
  assert.equal(apic.pending(), -1);
  timers.advance(1);
  assert.equal(apic.pending(), 0x40);
  assert.equal(apic.readMsr(MSR_TSC_DEADLINE), 0n);
});

test('a TSC deadline in the past fires at once; 0 disarms; a far one costs nothing', () => {
  const { apic, timers, serve } = rig();
  write(apic, REGISTER.lvt, TSC_DEADLINE | 0x40);
  timers.advance(1_000);
  apic.writeMsr(MSR_TSC_DEADLINE, 5n);
  assert.equal(serve(), 1);
  apic.writeMsr(MSR_TSC_DEADLINE, 1_000_000n);
  apic.writeMsr(MSR_TSC_DEADLINE, 0n);
  assert.equal(timers.armed, 0);
  apic.writeMsr(MSR_TSC_DEADLINE, (1n << 64n) - 1n);
  assert.equal(timers.armed, 0);
  assert.equal(apic.readMsr(MSR_TSC_DEADLINE), (1n << 64n) - 1n);
});

test('the modes do not mix: registers of the other mode are ignored and a switch disarms', () => {
  const { apic, timers } = rig();
  apic.writeMsr(MSR_TSC_DEADLINE, 1_000n);
  assert.equal(apic.readMsr(MSR_TSC_DEADLINE), 0n);
  write(apic, REGISTER.lvt, TSC_DEADLINE | 0x40);
  write(apic, REGISTER.initialCount, 1_000);
  assert.equal(read(apic, REGISTER.currentCount), 0);
  apic.writeMsr(MSR_TSC_DEADLINE, 1_000_000n);
  write(apic, REGISTER.lvt, 0x40);
  assert.equal(timers.armed, 0);
  timers.advance(1e9);
  assert.equal(apic.pending(), -1);
});

test('a timer goes on after a restore', () => {
  const { apic, timers } = rig();
  write(apic, REGISTER.lvt, 0x40);
  write(apic, REGISTER.initialCount, 1_000);
  const start = apic.state.countStart;
  write(apic, REGISTER.initialCount, 0);
  apic.state.initialCount = 1_000;
  apic.state.counting = 1;
  apic.state.countStart = start;
  apic.restored();
  timers.advance(1_000);
  assert.equal(apic.pending(), 0x40);
});
