import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { allocate } from '../../base/struct.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import type { Place } from '../device.ts';
import { createRtc, RTC_RETAINED } from './rtc.ts';

const SECOND = 1e9;

function makeRtc(date = '2026-11-21T13:45:58Z', timers: FakeTimers = fakeTimers()) {
  let level = false;
  const irq = { set: (next: boolean) => (level = next) };
  const rtc = createRtc({ place: allocate, timers, wall: { epoch: Date.parse(date) }, irq });
  rtc.reset();
  const { port } = rtc.regions;
  const read = (index: number) => {
    port.write(0, 1, index);
    return port.read(1, 1);
  };
  const write = (index: number, value: number) => {
    port.write(0, 1, index);
    port.write(1, 1, value);
  };
  /** Century, year, month, day, hour, minute, second, weekday, in hexadecimal. */
  const time = () => [0x32, 9, 8, 7, 4, 2, 0, 6].map((index) => read(index).toString(16).padStart(2, '0')).join(' ');
  return { rtc, timers, port, read, write, time, irq: () => level };
}

const make = (timers: FakeTimers, place: Place) =>
  createRtc({ place, timers, wall: { epoch: 1.7e12 + 250 }, irq: { set() {} } });
checkDevice('rtc', make, { retained: RTC_RETAINED });

test('the time follows the wall clock, in BCD and 24 hours, and carries', () => {
  const r = makeRtc('2026-12-31T23:59:58.500Z');
  assert.equal(r.time(), '20 26 12 31 23 59 58 05');
  r.timers.advance(0.5 * SECOND - 1);
  assert.equal(r.read(0), 0x58);
  r.timers.advance(1);
  assert.equal(r.read(0), 0x59);
  r.timers.advance(SECOND);
  assert.equal(r.time(), '20 27 01 01 00 00 00 06');
  assert.equal(r.timers.armed, 0, 'a clock that interrupts nobody costs nothing');
});

test('binary and 12-hour formats', () => {
  const r = makeRtc('2026-11-21T13:45:58Z');
  r.write(11, 0x04);
  assert.equal(r.read(2), 45);
  assert.equal(r.read(4), 0x81);
  r.write(11, 0x00);
  assert.equal(r.read(4), 0x81);
  assert.equal(makeRtc('2026-01-01T00:10:00Z').read(4), 0);
  const midnight = makeRtc('2026-01-01T00:10:00Z');
  midnight.write(11, 0);
  assert.equal(midnight.read(4), 0x12);
  const noon = makeRtc('2026-01-01T12:10:00Z');
  noon.write(11, 0);
  assert.equal(noon.read(4), 0x92);
});

test('setting the time with SET, as operating systems do', () => {
  const r = makeRtc();
  r.write(11, 0x82);
  const values = { 0: 0x30, 2: 0x59, 4: 0x23, 6: 0x03, 7: 0x28, 8: 0x02, 9: 0x24, 50: 0x20 };
  for (const [index, value] of Object.entries(values)) r.write(Number(index), value);
  r.timers.advance(10 * SECOND);
  assert.equal(r.time(), '20 24 02 28 23 59 30 03', 'the time stands still');
  r.write(11, 0x02);
  r.timers.advance(30 * SECOND);
  assert.equal(r.time(), '20 24 02 29 00 00 00 04', 'a leap year; the weekday follows what was set');
});

test('a reset of the divider makes the next update come after half a second', () => {
  const r = makeRtc();
  r.timers.advance(0.9 * SECOND);
  r.write(11, 0x82);
  r.write(10, 0x76);
  r.write(0, 0x10);
  r.write(11, 0x02);
  r.timers.advance(3 * SECOND);
  assert.equal(r.read(0), 0x10);
  r.write(10, 0x26);
  r.timers.advance(0.5 * SECOND - 1);
  assert.equal(r.read(0), 0x10);
  r.timers.advance(1);
  assert.equal(r.read(0), 0x11);
});

test('a register written while the clock runs takes effect, and keeps the phase', () => {
  const r = makeRtc();
  r.timers.advance(0.25 * SECOND);
  r.write(2, 0x10);
  assert.equal(r.time(), '20 26 11 21 13 10 58 07');
  r.timers.advance(0.75 * SECOND);
  assert.equal(r.read(0), 0x59);
});

test('UIP warns 244 microseconds before the update, and only while the clock runs', () => {
  const r = makeRtc();
  r.timers.advance(SECOND - 244_001);
  assert.equal(r.read(10), 0x26);
  r.timers.advance(1);
  assert.equal(r.read(10), 0xa6);
  r.write(11, 0x82);
  assert.equal(r.read(10), 0x26);
  r.write(11, 0x02);
  r.timers.advance(244_000);
  assert.equal(r.read(10), 0x26);
});

test('update interrupts: one a second, high until register C is read', () => {
  const r = makeRtc();
  r.write(11, 0x12);
  r.read(12);
  r.timers.advance(SECOND - 1);
  assert.equal(r.irq(), false);
  r.timers.advance(1);
  assert.equal(r.irq(), true);
  assert.equal(r.timers.armed, 0, 'no event while the line is high');
  assert.equal(r.read(12), 0xd0, 'and the periodic cause, which is not enabled');
  assert.equal(r.irq(), false);
  assert.equal(r.read(12), 0);
  r.timers.advance(SECOND);
  assert.equal(r.irq(), true);
  r.write(11, 0x92);
  assert.equal(r.read(11), 0x82, 'SET clears the update enable');
});

test('periodic interrupts come at their rate', () => {
  for (const [rate, hz] of [
    [6, 1024],
    [15, 2],
    [3, 8192],
    [1, 256],
    [2, 128],
  ]) {
    const r = makeRtc();
    r.write(10, 0x20 | rate);
    r.write(11, 0x42);
    r.read(12);
    let count = 0;
    for (let i = 0; i < 32_768; i++) {
      r.timers.advance(Math.ceil(((i + 1) * SECOND) / 32_768) - r.timers.now());
      if (r.irq()) {
        count++;
        assert.equal(r.read(12) & 0xc0, 0xc0);
      }
    }
    assert.equal(count, hz, `rate ${rate}`);
  }
});

test('causes are flagged without being enabled', () => {
  const r = makeRtc();
  r.read(12);
  r.timers.advance(2 * SECOND);
  assert.equal(r.read(12), 0x50);
  assert.equal(r.irq(), false);
});

test('alarms match exact bytes and wildcards', () => {
  const r = makeRtc('2026-11-21T13:45:58Z');
  r.write(5, 0x14);
  r.write(3, 0x00);
  r.write(1, 0x05);
  r.write(11, 0x22);
  r.timers.advance(14 * 60 * SECOND + 7 * SECOND - 1);
  assert.equal(r.irq(), false);
  r.timers.advance(1);
  assert.equal(r.time(), '20 26 11 21 14 00 05 07');
  assert.equal(r.irq(), true);
  assert.equal(r.read(12) & 0xa0, 0xa0);
  for (const index of [1, 3, 5]) r.write(index, 0xff);
  r.timers.advance(SECOND);
  assert.equal(r.irq(), true, 'every second');
  r.write(1, 0x61);
  r.read(12);
  r.timers.advance(3 * 86_400 * SECOND);
  assert.equal(r.irq(), false, 'a byte that no time has');
});

test('an alarm tomorrow, in 12-hour format', () => {
  const r = makeRtc('2026-11-21T13:45:58Z');
  r.write(11, 0x20);
  r.write(5, 0x81);
  r.write(3, 0x45);
  r.write(1, 0x58);
  r.read(12);
  r.timers.advance(86_400 * SECOND - 1);
  assert.equal(r.irq(), false);
  r.timers.advance(1);
  assert.equal(r.irq(), true);
});

test('CMOS bytes, presets and the NMI bit of the index', () => {
  const r = makeRtc();
  r.rtc.preset(0x15, 0x80);
  assert.equal(r.read(0x15), 0x80);
  assert.equal(r.read(0x95), 0x80);
  r.write(0x40, 0xab);
  r.write(13, 0);
  assert.equal(r.read(13), 0x80);
  r.write(4, 0x05);
  r.rtc.reset();
  assert.equal(r.read(0x15), 0x80);
  assert.equal(r.read(0x40), 0xab);
  assert.equal(r.read(4), 0x05, 'the battery keeps the time that was set');
});

test('bytes that are no date are carried over, not an error', () => {
  const r = makeRtc();
  for (const index of [0, 2, 4, 6, 7, 8, 9, 0x32]) r.write(index, 0xff);
  r.timers.advance(SECOND);
  for (const index of [0, 2, 4, 6, 7, 8, 9]) assert.match(r.read(index).toString(16), /^\d+$/);
});

test('a restored clock on a later day has the later day, and its enabled interrupt', () => {
  const r = makeRtc('2026-11-21T13:45:58Z');
  r.write(2, 0x50);
  r.write(11, 0x12);
  r.read(12);
  const later = makeRtc('2026-11-22T13:45:58Z');
  restoreState(later.rtc, saveState(r.rtc));
  assert.equal(later.time(), '20 26 11 22 13 50 58 01');
  later.timers.advance(SECOND);
  assert.equal(later.irq(), true);
});
