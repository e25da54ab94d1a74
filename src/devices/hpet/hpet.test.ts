import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { allocate } from '../../base/struct.ts';
import { checkDevice } from '../conformance.test-helper.ts';
import type { Line, Place } from '../device.ts';
import { createHpet } from './hpet.ts';

function countingLine(): Line & { level: boolean; rises: number } {
  return {
    level: false,
    rises: 0,
    set(level) {
      if (level && !this.level) this.rises++;
      this.level = level;
    },
  };
}

function make(timers: FakeTimers, place: Place) {
  const lines = { 20: countingLine(), 21: countingLine() };
  const legacy = [countingLine(), countingLine()] as const;
  const replaced: boolean[] = [];
  const hpet = createHpet({
    name: 'hpet',
    place,
    timers,
    routes: lines,
    legacy,
    replaceLegacy: (on) => replaced.push(on),
  });
  const { registers } = hpet.regions;
  return {
    timers,
    lines,
    legacy,
    replaced,
    hpet,
    read: (offset: number) => registers.read(offset, 4),
    write: (offset: number, value: number) => registers.write(offset, 4, value),
  };
}

function rig() {
  const made = make(fakeTimers(), allocate);
  made.hpet.reset();
  return made;
}

const ROUTE_20 = 20 << 9;
const NARROW = 0x100;
const PERIODIC = 0x48; // with "set value"
const ENABLE = 4;

checkDevice('hpet', (timers, place) => make(timers, place).hpet, { accesses: 1000 });

test('capabilities: three comparators, 64 bits, legacy replacement, 10 ns', () => {
  const { read } = rig();
  assert.equal(read(0), 0x8086a201);
  assert.equal(read(4), 10_000_000);
  assert.equal(read(0x100) & 0x8030, 0x30, 'periodic and 64-bit capable, no FSB delivery');
  assert.equal(read(0x104), 3 << 20);
});

test('the counter runs at 100 MHz, halts, and goes on from what is written', () => {
  const { read, write, timers } = rig();
  timers.advance(1000);
  assert.equal(read(0xf0), 0);
  write(0x10, 1);
  timers.advance(12_345);
  assert.equal(read(0xf0), 1234);
  write(0x10, 0);
  timers.advance(1000);
  assert.equal(read(0xf0), 1234);
  write(0xf0, 0xffff_ffff);
  write(0xf4, 7);
  write(0x10, 1);
  timers.advance(10);
  assert.deepEqual([read(0xf4), read(0xf0)], [8, 0]);
});

test('a one-shot comparator interrupts once, at its tick', () => {
  const { write, timers, lines } = rig();
  write(0x10, 1);
  write(0x100, ROUTE_20 | ENABLE);
  write(0x108, 500);
  write(0x10c, 0);
  timers.advance(4_999);
  assert.equal(lines[20].rises, 0);
  timers.advance(1);
  assert.equal(lines[20].rises, 1);
  timers.advance(1e12);
  assert.equal(lines[20].rises, 1);
  assert.equal(timers.armed, 0);
});

test('a 32-bit one-shot matches again when the low half of the counter comes round', () => {
  const { write, timers, lines } = rig();
  write(0x10, 1);
  write(0x100, ROUTE_20 | ENABLE | NARROW);
  write(0x108, 100);
  timers.advance(1_000);
  assert.equal(lines[20].rises, 1);
  timers.advance(2 ** 32 * 10 - 1);
  assert.equal(lines[20].rises, 1);
  timers.advance(1);
  assert.equal(lines[20].rises, 2);
});

test('a periodic comparator keeps time and shows its accumulator', () => {
  const { read, write, timers, lines } = rig();
  write(0x10, 1);
  timers.advance(1_000_000);
  write(0x120, ROUTE_20 | (1 << 9) | ENABLE | PERIODIC | NARROW);
  write(0x128, read(0xf0) + 100_000);
  write(0x128, 100_000);
  timers.advance(10_000_000);
  assert.equal(lines[21].rises, 10);
  assert.equal(read(0x128), 100_000 + 11 * 100_000);
  assert.equal(read(0x120) & 0x40, 0, 'set value clears itself');
});

test('one write with "set value" sets match and period, in 64-bit mode also as two halves', () => {
  const { read, write, timers, lines } = rig();
  write(0x100, ROUTE_20 | ENABLE | PERIODIC);
  write(0x108, 1_000_000);
  write(0x10c, 0);
  write(0x10, 1);
  timers.advance(30_000_000);
  assert.equal(lines[20].rises, 3);
  assert.deepEqual([read(0x10c), read(0x108)], [0, 4_000_000]);
});

test('a tiny period does not flood: missed periods are one interrupt', () => {
  const { read, write, timers, lines } = rig();
  write(0x10, 1);
  write(0x100, ROUTE_20 | ENABLE | PERIODIC | NARROW);
  write(0x108, 1);
  timers.advance(1_000_000_000);
  assert.ok(lines[20].rises > 1_000 && lines[20].rises <= 10_001, `${lines[20].rises} interrupts`);
  assert.equal(read(0x108), (read(0xf0) + 1) >>> 0);
});

test('a level interrupt stays until its status is cleared', () => {
  const { read, write, timers, lines } = rig();
  write(0x10, 1);
  write(0x100, ROUTE_20 | ENABLE | 2);
  write(0x108, 10);
  write(0x10c, 0);
  timers.advance(100);
  assert.equal(lines[20].level, true);
  assert.equal(read(0x20), 1);
  write(0x20, 1);
  assert.equal(lines[20].level, false);
  assert.equal(read(0x20), 0);
});

test('two level comparators share a line', () => {
  const { write, timers, lines } = rig();
  write(0x10, 1);
  for (const base of [0x100, 0x120]) {
    write(base, ROUTE_20 | ENABLE | 2);
    write(base + 8, 10);
    write(base + 12, 0);
  }
  timers.advance(100);
  write(0x20, 1);
  assert.equal(lines[20].level, true);
  write(0x20, 2);
  assert.equal(lines[20].level, false);
});

test('legacy replacement takes IRQ 0 and IRQ 8 from PIT and RTC', () => {
  const { write, timers, lines, legacy, replaced, hpet } = rig();
  write(0x100, ROUTE_20 | ENABLE | PERIODIC | NARROW);
  write(0x108, 100_000);
  write(0x10, 3);
  timers.advance(5_000_000);
  assert.deepEqual([legacy[0].rises, lines[20].rises], [5, 0]);
  assert.equal(legacy[0].level, true, 'a PIC would forget a request that falls');
  hpet.reset();
  assert.equal(legacy[0].level, false);
  assert.deepEqual(replaced, [true, false]);
});

test('a route that is not offered does not read back', () => {
  const { read, write } = rig();
  write(0x100, ROUTE_20);
  write(0x100, 5 << 9);
  assert.equal((read(0x100) >>> 9) & 31, 20);
});

test('comparators without an interrupt to give arm no alarm', () => {
  const { write, timers } = rig();
  write(0x10, 1);
  write(0x100, ROUTE_20 | PERIODIC | NARROW);
  write(0x108, 1000);
  assert.equal(timers.armed, 0);
  write(0x100, ROUTE_20 | PERIODIC | NARROW | ENABLE);
  assert.equal(timers.armed, 1);
  write(0x10, 0);
  assert.equal(timers.armed, 0);
});
