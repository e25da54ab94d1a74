import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { allocate } from '../../base/struct.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { ticksToNs } from '../ticks.ts';
import { createPit, PIT_HZ } from './pit.ts';

function makePit(timers: FakeTimers = fakeTimers()) {
  const rises: number[] = [];
  let level = false;
  let tick = 0;
  const irq = {
    replaced: false,
    set(next: boolean) {
      if (next && !level) rises.push(tick);
      level = next;
    },
  };
  const pit = createPit({ place: allocate, timers, irq });
  pit.reset();
  const { counters, control } = pit.regions;
  /** Moves to the given tick, one tick at a time, so that `rises` holds ticks. */
  const to = (target: number) => {
    while (tick < target) {
      tick++;
      timers.advance(ticksToNs(tick, PIT_HZ) - timers.now());
    }
  };
  const read16 = (ch: number) => counters.read(ch, 1) | (counters.read(ch, 1) << 8);
  const program = (ch: number, mode: number, count: number, bcd = 0) => {
    counters.write(3, 1, (ch << 6) | 0x30 | (mode << 1) | bcd);
    counters.write(ch, 1, count & 0xff);
    counters.write(ch, 1, count >> 8);
  };
  const status = (ch: number) => {
    counters.write(3, 1, 0xe0 | (2 << ch));
    return counters.read(ch, 1);
  };
  const out2 = () => (control.read(0, 1) & 0x20) !== 0;
  /** The run lengths of channel 2's output over the next ticks, the first level first. */
  const wave = (ticks: number) => {
    let text = '';
    for (let i = 0; i < ticks; i++) {
      text += out2() ? '1' : '0';
      to(tick + 1);
    }
    return text;
  };
  return {
    timers,
    pit,
    counters,
    control,
    to,
    read16,
    program,
    status,
    out2,
    wave,
    rises,
    irq: () => level,
    line: irq,
  };
}

checkDevice('pit', (timers, place) => createPit({ place, timers, irq: { replaced: false, set() {} } }));

test('mode 0: the output rises once, N + 1 ticks after the write, and the count runs on', () => {
  const p = makePit();
  p.program(0, 0, 5);
  assert.equal(p.timers.armed, 1);
  p.to(5);
  assert.deepEqual(p.rises, []);
  p.to(8);
  assert.deepEqual(p.rises, [6]);
  assert.equal(p.timers.armed, 0, 'a finished one-shot costs nothing');
  assert.equal(p.read16(0), 0xfffe);
  p.counters.write(0, 1, 3);
  assert.equal(p.irq(), false, 'the first byte of a new count drives the output low');
  assert.equal(p.timers.armed, 0);
  p.counters.write(0, 1, 0);
  p.to(20);
  assert.deepEqual(p.rises, [6, 12]);
});

test('mode 0: the gate pauses', () => {
  const p = makePit();
  p.control.write(0, 1, 1);
  p.program(2, 0, 10);
  p.to(5);
  assert.equal(p.read16(2), 6);
  p.control.write(0, 1, 0);
  p.to(50);
  assert.equal(p.read16(2), 6);
  p.control.write(0, 1, 1);
  p.to(55);
  assert.equal(p.out2(), false);
  p.to(56);
  assert.equal(p.out2(), true);
});

test('mode 1: each rise of the gate gives one low pulse, and a pulse can be extended', () => {
  const p = makePit();
  p.program(2, 1, 4);
  assert.equal(p.wave(3), '111');
  p.control.write(0, 1, 1);
  p.to(4);
  assert.equal(p.wave(6), '000011');
  p.control.write(0, 1, 0);
  p.control.write(0, 1, 1);
  p.to(13);
  p.control.write(0, 1, 0);
  p.control.write(0, 1, 1);
  assert.equal(p.wave(6), '000001');
});

test('mode 2: one low tick a period; a new count waits for the period to end', () => {
  const p = makePit();
  p.control.write(0, 1, 1);
  p.program(2, 2, 4);
  p.to(1);
  assert.equal(p.wave(9), '111011101');
  p.counters.write(2, 1, 3);
  p.counters.write(2, 1, 0);
  assert.equal(p.status(2) & 0x40, 0x40, 'null count: not loaded yet');
  assert.equal(p.wave(3), '110', 'the old period ends');
  assert.equal(p.status(2) & 0x40, 0);
  assert.equal(p.wave(6), '110110');
  p.control.write(0, 1, 0);
  assert.equal(p.wave(5), '11111', 'the gate forces the output high');
});

test('mode 3: halves, the odd tick in the high half; a new count waits for the half to end', () => {
  const p = makePit();
  p.control.write(0, 1, 1);
  p.program(2, 3, 5);
  p.to(1);
  assert.equal(p.wave(10), '1110011100');
  p.counters.write(2, 1, 8);
  p.counters.write(2, 1, 0);
  assert.equal(p.wave(15), '111000011110000');
  p.program(2, 3, 6);
  p.to(27);
  const values = Array.from({ length: 7 }, (_, i) => {
    p.to(27 + i);
    return p.read16(2);
  });
  assert.deepEqual(values, [6, 4, 2, 6, 4, 2, 6]);
});

test('modes 4 and 5: a strobe of one tick, by software or by the gate', () => {
  const p = makePit();
  p.control.write(0, 1, 1);
  p.program(2, 4, 3);
  assert.equal(p.wave(8), '11110111');
  p.control.write(0, 1, 0);
  p.program(2, 5, 3);
  assert.equal(p.wave(3), '111');
  p.control.write(0, 1, 1);
  assert.equal(p.wave(8), '11110111');
});

test('periodic interrupts neither drift nor cost more than one event each', () => {
  for (const mode of [2, 3]) {
    const p = makePit();
    p.program(0, mode, 100);
    assert.equal(p.irq(), true, 'the output is high as soon as the mode is set');
    p.rises.length = 0;
    p.to(1001);
    assert.deepEqual(
      p.rises,
      Array.from({ length: 10 }, (_, i) => 101 + 100 * i),
    );
  }
  const timers = fakeTimers();
  let rises = 0;
  const pit = createPit({
    place: allocate,
    timers,
    irq: { replaced: false, set: (level) => (rises += level ? 1 : 0) },
  });
  pit.reset();
  pit.regions.counters.write(3, 1, 0x34);
  pit.regions.counters.write(0, 1, 11932 & 0xff);
  pit.regions.counters.write(0, 1, 11932 >> 8);
  rises = 0;
  timers.advance(100e9);
  assert.equal(rises, Math.floor((100 * PIT_HZ - 1) / 11932));
});

test('rises that the host was too late for are merged, and tiny periods do not flood it', () => {
  const p = makePit();
  p.program(0, 2, 2);
  p.rises.length = 0;
  p.to(1200);
  assert.ok(p.rises.length > 50 && p.rises.length <= 100, `${p.rises.length} rises`);
});

test('BCD counts in decimal', () => {
  const p = makePit();
  p.program(0, 2, 0x1000, 1);
  p.to(3);
  assert.equal(p.read16(0), 0x0998);
  p.program(0, 0, 0x0001, 1);
  p.to(6);
  assert.equal(p.read16(0), 0x9999);
});

test('latches hold until read; read-back latches status before count', () => {
  const p = makePit();
  p.program(0, 2, 0x1234);
  p.to(11);
  p.counters.write(3, 1, 0x00);
  p.to(20);
  p.counters.write(3, 1, 0x00);
  assert.equal(p.read16(0), 0x122a, 'the second latch command is ignored');
  assert.equal(p.read16(0), 0x1221, 'live again');
  p.counters.write(3, 1, 0xc2);
  p.to(30);
  assert.equal(p.counters.read(0, 1), 0xb4, 'output high, loaded, low/high, mode 2');
  assert.equal(p.read16(0), 0x1221);
  assert.equal(p.counters.read(3, 1), 0xff);
});

test('single-byte access', () => {
  const p = makePit();
  p.counters.write(3, 1, 0x14);
  p.counters.write(0, 1, 0x80);
  p.to(2);
  assert.equal(p.counters.read(0, 1), 0x7f);
  assert.equal(p.counters.read(0, 1), 0x7f);
  p.counters.write(3, 1, 0x24);
  p.counters.write(0, 1, 0x80);
  p.to(4);
  assert.equal(p.counters.read(0, 1), 0x7f);
  assert.equal(p.status(0) & 0x30, 0x20);
});

test('port 0x61: the refresh bit toggles every 18 ticks, bits 0-3 read back', () => {
  const p = makePit();
  p.control.write(0, 1, 0xff);
  assert.equal(p.control.read(0, 1) & 0xcf, 0x0f);
  let toggles = 0;
  let last = p.control.read(0, 1) & 0x10;
  for (let i = 0; i < 180; i++) {
    p.to(i + 1);
    const bit = p.control.read(0, 1) & 0x10;
    if (bit !== last) toggles++;
    last = bit;
  }
  assert.equal(toggles, 10);
});

test('a restored timer keeps its phase', () => {
  const p = makePit();
  p.program(0, 2, 1000);
  p.to(500);
  const timers = fakeTimers();
  timers.advance(p.timers.now());
  let risen = 0;
  const other = createPit({
    place: allocate,
    timers,
    irq: { replaced: false, set: (level) => (risen += level ? 1 : 0) },
  });
  restoreState(other, saveState(p.pit));
  risen = 0;
  timers.advance(ticksToNs(1000, PIT_HZ) - timers.now());
  assert.equal(risen, 0);
  timers.advance(ticksToNs(1001, PIT_HZ) - timers.now());
  assert.equal(risen, 1);
});

test('while the HPET has its line no timer runs; afterwards it goes on in step', () => {
  const p = makePit();
  p.program(0, 2, 100);
  p.to(250);
  assert.deepEqual(p.rises, [0, 101, 201]);
  p.line.replaced = true;
  p.pit.replacedOrBack();
  assert.equal(p.timers.armed, 0);
  p.to(640);
  p.program(2, 0, 5);
  assert.equal(p.timers.armed, 0);
  p.line.replaced = false;
  p.pit.replacedOrBack();
  p.to(850);
  assert.deepEqual(p.rises, [0, 101, 201, 640, 701, 801]);
});
