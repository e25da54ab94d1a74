import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { allocate } from '../../base/struct.ts';
import { checkDevice } from '../conformance.test-helper.ts';
import type { Place } from '../device.ts';
import { ACPI_PM, createAcpiPm } from './acpi-pm.ts';

function make(timers: FakeTimers, place: Place, timerBits: 24 | 32 = 32) {
  const seen = { sci: false, powerOffs: 0, resets: 0 };
  const pm = createAcpiPm({
    name: 'acpi-pm',
    place,
    timers,
    sci: {
      set: (level) => {
        seen.sci = level;
      },
    },
    powerOff: () => seen.powerOffs++,
    reset: () => seen.resets++,
    log: () => {},
    timerBits,
  });
  return { pm, timers, seen, ...pm.regions };
}

function rig(timers: FakeTimers = fakeTimers(), timerBits: 24 | 32 = 32) {
  const made = make(timers, allocate, timerBits);
  made.pm.reset();
  return made;
}

checkDevice('acpi-pm', (timers, place) => make(timers, place).pm);
checkDevice('acpi-pm with a 24-bit timer', (timers, place) => make(timers, place, 24).pm);

test('the PM timer counts 3,579,545 ticks in a second and does not drift in a month', () => {
  const { timer, timers } = rig();
  timers.advance(1e9);
  assert.equal(timer.read(0, 4), 3_579_545);
  timers.advance(30 * 86_400 * 1e9);
  assert.equal(timer.read(0, 4), (3_579_545 * (30 * 86_400 + 1)) % 2 ** 32);
  assert.equal(timer.read(1, 2), Math.floor(timer.read(0, 4) / 256) % 65_536);
});

test('a 24-bit timer wraps at 24 bits', () => {
  const { timer, timers } = rig(fakeTimers(), 24);
  timers.advance(10e9);
  assert.equal(timer.read(0, 4), 35_795_450 % 2 ** 24);
});

test('ACPI mode is switched by the SMI command port and cannot be written', () => {
  const { control, smi } = rig();
  control.write(0, 2, 1);
  assert.equal(control.read(0, 2) & 1, 0);
  smi.write(0, 1, ACPI_PM.acpiEnable);
  assert.equal(control.read(0, 2) & 1, 1);
  control.write(0, 2, 0);
  assert.equal(control.read(0, 2) & 1, 1);
  smi.write(0, 1, ACPI_PM.acpiDisable);
  assert.equal(control.read(0, 2) & 1, 0);
});

test('the power button raises SCI in ACPI mode until its status is cleared', () => {
  const { pm, event, smi, seen } = rig();
  smi.write(0, 1, ACPI_PM.acpiEnable);
  event.write(2, 2, 0x0100);
  pm.pressPowerButton();
  assert.equal(seen.sci, true);
  assert.equal(event.read(0, 4), 0x0100_0100);
  event.write(0, 2, 0xfeff);
  assert.equal(seen.sci, true);
  event.write(0, 2, 0x0100);
  assert.equal(seen.sci, false);
});

test('without ACPI mode no event raises SCI', () => {
  const { pm, event, seen } = rig();
  event.write(2, 2, 0x0100);
  pm.pressPowerButton();
  assert.equal(seen.sci, false);
});

test('the timer event comes each time the highest bit toggles', () => {
  const { event, smi, seen, timers } = rig(fakeTimers(), 24);
  smi.write(0, 1, ACPI_PM.acpiEnable);
  event.write(2, 2, 1);
  const half = Math.ceil((2 ** 23 * 1e9) / 3_579_545);
  timers.advance(half - 1);
  assert.equal(seen.sci, false);
  timers.advance(1);
  assert.equal(seen.sci, true);
  event.write(0, 2, 1);
  assert.equal(seen.sci, false);
  timers.advance(half);
  assert.equal(seen.sci, true);
});

test('the timer event shows in the status when nobody waits for it, and then arms no alarm', () => {
  const { event, timers } = rig(fakeTimers(), 24);
  assert.equal(timers.armed, 0);
  timers.advance(3e9);
  assert.equal(event.read(0, 2), 1);
  assert.equal(timers.armed, 0);
});

test('S5 turns the machine off; other sleep types do nothing', () => {
  const { control, seen } = rig();
  control.write(0, 2, (1 << 10) | 0x2000);
  assert.equal(seen.powerOffs, 0);
  control.write(0, 2, (ACPI_PM.s5SleepType << 10) | 0x2000);
  assert.equal(seen.powerOffs, 1);
  assert.equal(control.read(0, 2) & 0x2000, 0, 'SLP_EN reads 0');
});

test('S5 may be asked for by the high byte alone', () => {
  const { control, seen } = rig();
  control.write(1, 1, (ACPI_PM.s5SleepType << 2) | 0x20);
  assert.equal(seen.powerOffs, 1);
});

test('the reset register resets when bit 2 rises', () => {
  const { resetControl, seen } = rig();
  resetControl.write(0, 1, 0x02);
  assert.equal(seen.resets, 0);
  resetControl.write(0, 1, 0x06);
  assert.equal(seen.resets, 1);
  const full = rig();
  full.resetControl.write(0, 1, 0x0e);
  assert.equal(full.seen.resets, 1);
});

test('a general-purpose event stays set while its input is asserted', () => {
  const { pm, gpe0, smi, seen } = rig();
  smi.write(0, 1, ACPI_PM.acpiEnable);
  gpe0.write(2, 2, 1 << 9);
  pm.gpe[9].set(true);
  assert.equal(seen.sci, true);
  gpe0.write(0, 2, 1 << 9);
  assert.equal(seen.sci, true);
  pm.gpe[9].set(false);
  assert.equal(seen.sci, true);
  gpe0.write(0, 2, 1 << 9);
  assert.equal(seen.sci, false);
});

test('the RTC event follows the rising edge of its interrupt', () => {
  const { pm, event } = rig();
  pm.rtcAlarm.set(true);
  event.write(0, 2, 0x400);
  pm.rtcAlarm.set(true);
  assert.equal(event.read(0, 2), 0);
  pm.rtcAlarm.set(false);
  pm.rtcAlarm.set(true);
  assert.equal(event.read(0, 2), 0x400);
});
