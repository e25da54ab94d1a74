import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { createI8042 } from './i8042.ts';

const ignored = { set() {} };
const options = { place: allocate, keyboardIrq: ignored, mouseIrq: ignored, a20: ignored, reset() {}, log() {} };

function makeController() {
  const seen = { irq1: false, irq12: false, edges1: 0, a20: false, resets: 0 };
  const i8042 = createI8042({
    ...options,
    keyboardIrq: {
      set(level) {
        if (level && !seen.irq1) seen.edges1++;
        seen.irq1 = level;
      },
    },
    mouseIrq: { set: (level) => (seen.irq12 = level) },
    a20: { set: (level) => (seen.a20 = level) },
    reset: () => seen.resets++,
  });
  i8042.reset();
  const { data, command } = i8042.regions;
  const status = () => command.read(0, 1);
  const drain = () => {
    const bytes: number[] = [];
    while (status() & 1 && bytes.length < 100) bytes.push(data.read(0, 1));
    return bytes;
  };
  /** A controller command with its operand; returns what it answers. */
  const control = (value: number, operand?: number) => {
    command.write(0, 1, value);
    if (operand !== undefined) data.write(0, 1, operand);
    return drain();
  };
  const keyboard = (...bytes: number[]) => {
    for (const byte of bytes) data.write(0, 1, byte);
    return drain();
  };
  const mouse = (...bytes: number[]) => bytes.flatMap((byte) => control(0xd4, byte));
  return { i8042, seen, data, status, drain, control, keyboard, mouse };
}

checkDevice('i8042', (_timers, place) => createI8042({ ...options, place }));
checkDevice('i8042 in use', (_timers, place) => {
  const i8042 = createI8042({ ...options, place });
  const { data, command } = i8042.regions;
  // Every access also brings input, so that queues fill and drain.
  const read = (offset: number, size: 1 | 2 | 4) => {
    i8042.key([0xe0, 0x75, 0xe0, 0xf0, 0x75]);
    i8042.mouse(3, -400, data.size, 1);
    return data.read(offset, size);
  };
  return { ...i8042, regions: { data: { ...data, read }, command } };
});

test('self-test, interface tests, configuration byte and memory', () => {
  const c = makeController();
  assert.deepEqual(c.control(0xaa), [0x55]);
  assert.deepEqual(c.control(0xab), [0]);
  assert.deepEqual(c.control(0xa9), [0]);
  c.control(0x60, 0x47);
  assert.deepEqual(c.control(0x20), [0x47]);
  c.control(0xa7);
  c.control(0xad);
  assert.deepEqual(c.control(0x20), [0x77]);
  c.control(0xa8);
  c.control(0xae);
  assert.deepEqual(c.control(0x20), [0x47]);
  c.control(0x65, 0x99);
  assert.deepEqual(c.control(0x25), [0x99]);
  assert.equal(c.status(), 0x1c, 'not inhibited, command written, system flag; output empty');
});

test('a driver that probes for the mouse port finds its loopback', () => {
  const c = makeController();
  c.control(0x60, 0x46);
  const { command } = c.i8042.regions;
  command.write(0, 1, 0xd3);
  c.data.write(0, 1, 0xa5);
  assert.equal(c.status() & 0x21, 0x21);
  assert.equal(c.seen.irq12, true);
  assert.equal(c.data.read(0, 1), 0xa5);
  assert.equal(c.seen.irq12, false);
  assert.deepEqual(c.control(0xd2, 0x5a), [0x5a]);
});

test('A20 and reset, by the output port and by pulses', () => {
  const c = makeController();
  assert.equal(c.seen.a20, true);
  c.control(0xd1, 0xdd);
  assert.equal(c.seen.a20, false);
  assert.equal(c.control(0xd0)[0] & 3, 1);
  c.control(0xdf);
  assert.equal(c.seen.a20, true);
  c.control(0xdd);
  assert.equal(c.seen.a20, false);
  assert.equal(c.seen.resets, 0);
  c.control(0xff);
  assert.equal(c.seen.resets, 0, 'pulses nothing');
  c.control(0xfe);
  assert.equal(c.seen.resets, 1);
  c.control(0xd1, 0x02);
  assert.equal(c.seen.resets, 2);
});

test('keyboard: identify, reset, LEDs, echo, scan code set, unknown commands', () => {
  const c = makeController();
  c.control(0x60, 0x05);
  assert.deepEqual(c.keyboard(0xf2), [0xfa, 0xab, 0x83]);
  assert.deepEqual(c.keyboard(0xff), [0xfa, 0xaa]);
  assert.deepEqual(c.keyboard(0xed, 0x07), [0xfa, 0xfa]);
  assert.equal(c.i8042.state.keyboardLeds, 7);
  assert.deepEqual(c.keyboard(0xed, 0xf4), [0xfa, 0xfa], 'a command instead of the operand');
  assert.deepEqual(c.keyboard(0xf3, 0x20), [0xfa, 0xfa]);
  assert.deepEqual(c.keyboard(0xee), [0xee]);
  assert.deepEqual(c.keyboard(0xfe), [0xee]);
  assert.deepEqual(c.keyboard(0xf0, 0x00), [0xfa, 0xfa, 0x02]);
  assert.deepEqual(c.keyboard(0xf0, 0x01), [0xfa, 0xfa]);
  assert.deepEqual(c.keyboard(0xf0, 0x00), [0xfa, 0xfa, 0x01]);
  c.i8042.key([0xe0, 0xf0, 0x75]);
  assert.deepEqual(c.drain(), [0xe0, 0xc8], 'set 1 from the keyboard itself');
  assert.deepEqual(c.keyboard(0x12), [0xfe]);
});

test('keys are translated to set 1 where the configuration says so, and interrupt once a byte', () => {
  const c = makeController();
  c.i8042.key([0x1c, 0xf0, 0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0x83]);
  assert.equal(c.seen.irq1, true);
  assert.deepEqual(c.drain(), [0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8, 0x41]);
  assert.equal(c.seen.edges1, 7);
  assert.equal(c.seen.irq1, false);
  assert.deepEqual(c.keyboard(0xf2), [0xfa, 0xab, 0x41]);
  c.control(0x60, 0x04);
  c.i8042.key([0xf0, 0x1c]);
  assert.equal(c.seen.irq1, false, 'interrupts are off');
  assert.deepEqual(c.drain(), [0xf0, 0x1c]);
  assert.equal(c.data.read(0, 1), 0x1c, 'an empty buffer keeps its byte');
});

test('every printable key translates to its own set 1 code', () => {
  const c = makeController();
  const codes = new Set<number>();
  for (let code = 1; code <= 0x7f; code++) {
    c.i8042.key([code]);
    for (const byte of c.drain()) codes.add(byte);
  }
  assert.equal(codes.size, 0x7f);
  for (const [set2, set1] of [
    [0x76, 0x01],
    [0x5a, 0x1c],
    [0x29, 0x39],
    [0x12, 0x2a],
    [0x14, 0x1d],
    [0x05, 0x3b],
    [0x78, 0x57],
    [0x07, 0x58],
    [0x7b, 0x4a],
  ]) {
    c.i8042.key([set2]);
    assert.deepEqual(c.drain(), [set1]);
  }
});

test('a full or disabled keyboard', () => {
  const c = makeController();
  c.control(0xad);
  let taken = 0;
  while (c.i8042.key([0xe0, 0x75, 0xe0])) taken += 3;
  assert.equal(taken, 63);
  assert.equal(c.status() & 1, 0, 'held back while the interface is off');
  assert.equal(c.control(0xae).length, 63);
  c.i8042.key([0x1c, 0xf0, 0x1c]);
  assert.deepEqual(c.keyboard(0xf5), [0x1e, 0xfa], 'what was out already, then the answer; the rest is dropped');
  c.i8042.key([0x1c]);
  assert.deepEqual(c.drain(), [], 'scanning is off');
  assert.deepEqual(c.keyboard(0xf4), [0xfa]);
  c.i8042.key([0x1c]);
  assert.deepEqual(c.drain(), [0x1e]);
});

test('mouse: reset, identify, status, and packets once enabled', () => {
  const c = makeController();
  c.control(0x60, 0x47);
  assert.deepEqual(c.mouse(0xff), [0xfa, 0xaa, 0x00]);
  assert.deepEqual(c.mouse(0xf2), [0xfa, 0x00]);
  c.i8042.mouse(5, 5, 0, 0);
  assert.deepEqual(c.drain(), [], 'not enabled');
  assert.deepEqual(c.mouse(0xe8, 3, 0xf3, 60, 0xf4), [0xfa, 0xfa, 0xfa, 0xfa, 0xfa]);
  c.i8042.mouse(5, 3, 1, 0);
  assert.equal(c.seen.irq12, true);
  assert.equal(c.status() & 0x21, 0x21);
  assert.deepEqual(c.drain(), [0x29, 5, 0xfd], 'down is negative');
  assert.deepEqual(c.mouse(0xe9), [0xfa, 0x24, 3, 60]);
  c.i8042.mouse(-600, 0, 0, 0);
  assert.deepEqual(c.drain(), [0x18, 1, 0, 0x18, 1, 0, 0x18, 0xa6, 0]);
  assert.deepEqual(c.mouse(0x77), [0xfe]);
});

test('mouse: wheel and five buttons are switched on by their rate sequences', () => {
  const c = makeController();
  c.control(0x60, 0x47);
  c.mouse(0xf3, 200, 0xf3, 100, 0xf3, 80);
  assert.deepEqual(c.mouse(0xf2), [0xfa, 3]);
  c.mouse(0xf4);
  c.i8042.mouse(0, 0, 0, -2);
  assert.deepEqual(c.drain(), [0x08, 0, 0, 0xfe]);
  c.mouse(0xf3, 200, 0xf3, 200, 0xf3, 80);
  assert.deepEqual(c.mouse(0xf2), [0xfa, 4]);
  c.i8042.mouse(0, 0, 0x18, 1);
  assert.deepEqual(c.drain(), [0x08, 0, 0, 0x31]);
});

test('mouse: movements merge while the guest is slow, clicks do not', () => {
  const c = makeController();
  c.control(0x60, 0x47);
  c.mouse(0xf4);
  for (let i = 0; i < 50; i++) c.i8042.mouse(1, 0, 0, 0);
  c.i8042.mouse(0, 0, 1, 0);
  c.i8042.mouse(0, 0, 0, 0);
  assert.deepEqual(c.drain(), [0x08, 1, 0, 0x09, 49, 0, 0x08, 0, 0]);
});

test('mouse: remote mode, wrap mode, scaling', () => {
  const c = makeController();
  c.control(0x60, 0x47);
  c.mouse(0xf0);
  c.i8042.mouse(7, 0, 0, 0);
  assert.deepEqual(c.drain(), []);
  assert.deepEqual(c.mouse(0xeb), [0xfa, 0x08, 7, 0]);
  c.mouse(0xea, 0xe7, 0xf4);
  c.i8042.mouse(3, 10, 0, 0);
  assert.deepEqual(c.drain(), [0x28, 3, 0xec]);
  assert.deepEqual(c.mouse(0xee, 0x12, 0xf2, 0xec, 0xf2), [0xfa, 0x12, 0xf2, 0xfa, 0xfa, 0]);
});

test('restored() drives the lines', () => {
  const c = makeController();
  c.i8042.key([0x1c]);
  c.control(0xdd);
  c.i8042.key([0x32]);
  const other = makeController();
  restoreState(other.i8042, saveState(c.i8042));
  assert.deepEqual([other.seen.irq1, other.seen.a20], [true, false]);
  assert.deepEqual(other.drain(), [0x30]);
});
