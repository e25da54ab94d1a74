import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { allocate } from '../../base/struct.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { createSerial } from './serial.ts';

const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const FCR = IIR;

function makeSerial(timers: FakeTimers = fakeTimers()) {
  const sent: number[] = [];
  const seen = { irq: false, rooms: 0 };
  const serial = createSerial({
    name: 'serial0',
    place: allocate,
    timers,
    irq: { set: (level) => (seen.irq = level) },
    backend: { write: (byte) => sent.push(byte) },
    onRoom: () => seen.rooms++,
  });
  serial.reset();
  const { port } = serial.regions;
  const read = (offset: number) => port.read(offset, 1);
  const write = (offset: number, value: number) => port.write(offset, 1, value);
  return { serial, timers, sent, seen, read, write, type: (text: string) => serial.receive(Buffer.from(text)) };
}

/** A driver that has opened the port at 115200 8N1 with FIFOs, trigger level 8. */
function openSerial() {
  const s = makeSerial();
  s.write(LCR, 0x83);
  s.write(DATA, 1);
  s.write(IER, 0);
  s.write(LCR, 0x03);
  s.write(FCR, 0x81);
  s.write(MCR, 0x0b);
  return s;
}

const options = { name: 'serial0', place: allocate, irq: { set() {} }, backend: { write() {} } };
checkDevice('serial', (timers, place) => createSerial({ ...options, timers, place }));

test('bytes are sent at once and the transmitter is always empty', () => {
  const s = makeSerial();
  for (const byte of Buffer.from('hi')) s.write(DATA, byte);
  assert.deepEqual(s.sent, [...Buffer.from('hi')]);
  assert.equal(s.read(LSR), 0x60);
});

test('registers read back; DLAB shows the divisor', () => {
  const s = makeSerial();
  s.write(SCR, 0xa5);
  s.write(IER, 0xff);
  s.write(LCR, 0x80);
  s.write(DATA, 0x34);
  s.write(IER, 0x12);
  assert.deepEqual([s.read(DATA), s.read(IER)], [0x34, 0x12]);
  s.write(LCR, 0x1b);
  assert.deepEqual([s.read(IER), s.read(LCR), s.read(SCR)], [0x0f, 0x1b, 0xa5]);
  s.write(MCR, 0xff);
  assert.equal(s.read(MCR), 0x1f);
  assert.deepEqual(s.sent, []);
});

test('a driver that probes finds a 16550A with 16 bytes of FIFO', () => {
  const s = makeSerial();
  s.write(IER, 0);
  assert.equal(s.read(IER), 0);
  s.write(IER, 0x0f);
  assert.equal(s.read(IER), 0x0f);
  s.write(IER, 0);
  s.write(MCR, 0x1a);
  assert.equal(s.read(MSR) & 0xf0, 0x90, 'loopback: RTS and OUT2 come back as CTS and DCD');
  s.write(MCR, 0);
  s.write(FCR, 0x01);
  assert.equal(s.read(IIR) >> 6, 3);
  s.write(FCR, 0x21);
  assert.equal(s.read(IIR) >> 5, 6, 'no 64-byte FIFO');
  s.write(FCR, 0x01);
  s.write(FCR, 0x07);
  s.write(MCR, 0x10);
  for (let i = 0; i < 256; i++) s.write(DATA, i);
  let count = 0;
  while (s.read(LSR) & 1 && count < 256) assert.equal(s.read(DATA), count++);
  assert.equal(count, 16);
  assert.deepEqual(s.sent, []);
});

test('the transmitter interrupt: on enabling, after each byte, acknowledged by the IIR read that shows it', () => {
  const s = openSerial();
  s.write(IER, 2);
  assert.equal(s.seen.irq, true);
  assert.equal(s.read(IIR), 0xc2);
  assert.equal(s.seen.irq, false);
  assert.equal(s.read(IIR), 0xc1);
  s.write(IER, 2);
  assert.equal(s.read(IIR), 0xc1, 'it was enabled already');
  s.write(IER, 0);
  s.write(IER, 2);
  assert.equal(s.read(IIR), 0xc2);
  s.write(DATA, 0x41);
  assert.equal(s.seen.irq, true);
  s.type('x'.repeat(8));
  s.write(IER, 3);
  assert.equal(s.read(IIR), 0xc4, 'received data comes first');
  for (let i = 0; i < 8; i++) s.read(DATA);
  assert.equal(s.read(IIR), 0xc2, 'and did not acknowledge the transmitter');
});

test('OUT2 gates the interrupt line', () => {
  const s = openSerial();
  s.write(IER, 2);
  s.write(MCR, 0x03);
  assert.equal(s.seen.irq, false);
  assert.equal(s.read(IIR) & 0x0f, 2);
  s.write(DATA, 0);
  s.write(MCR, 0x1b);
  assert.equal(s.seen.irq, false, 'inactive in loopback');
  s.write(MCR, 0x0b);
  assert.equal(s.seen.irq, true);
});

test('received data interrupts at the trigger level, or after four silent characters', () => {
  const s = openSerial();
  s.write(IER, 1);
  assert.equal(s.type('1234567'), 7);
  assert.equal(s.seen.irq, false);
  s.type('8');
  assert.equal(s.read(IIR), 0xc4);
  s.read(DATA);
  assert.equal(s.seen.irq, false, 'below the trigger level');
  const characters = Math.ceil((4 * 10 * 1e9) / 115_200);
  s.timers.advance(characters - 1);
  assert.equal(s.seen.irq, false);
  s.timers.advance(1);
  assert.equal(s.seen.irq, true);
  assert.equal(s.read(IIR), 0xcc);
  s.read(DATA);
  assert.equal(s.seen.irq, false, 'a read begins the silence anew');
  s.timers.advance(characters);
  for (let i = 0; i < 6; i++) s.read(DATA);
  assert.equal(s.seen.irq, false);
  assert.equal(s.timers.armed, 0);
});

test('without FIFOs one byte is taken at a time and interrupts at once', () => {
  const s = makeSerial();
  s.write(MCR, 0x08);
  s.write(IER, 1);
  assert.equal(s.type('ab'), 1);
  assert.equal(s.read(IIR), 0x04);
  assert.equal(s.read(LSR) & 1, 1);
  assert.equal(s.read(DATA), 0x61);
  assert.equal(s.read(LSR) & 1, 0);
  assert.equal(s.seen.irq, false);
});

test('flow control: a refused back end is told when everything was read, or dropped', () => {
  const s = openSerial();
  assert.equal(s.type('x'.repeat(20)), 16);
  for (let i = 0; i < 15; i++) s.read(DATA);
  assert.equal(s.seen.rooms, 0);
  s.read(DATA);
  assert.equal(s.seen.rooms, 1);
  s.read(DATA);
  assert.equal(s.seen.rooms, 1);
  s.type('x'.repeat(20));
  s.write(FCR, 0x83);
  assert.equal(s.read(LSR) & 1, 0);
  assert.equal(s.seen.rooms, 2);
  s.write(MCR, 0x1b);
  assert.equal(s.type('x'), 0, 'loopback cuts the line off');
  s.write(MCR, 0x0b);
  assert.equal(s.seen.rooms, 3);
});

test('a back end may offer again from inside onRoom', () => {
  const waiting = [...Buffer.from('abcdefghijklmnopqrstuvwxyz0123456789')];
  const offer = () => void waiting.splice(0, serial.receive(Uint8Array.from(waiting)));
  const serial = createSerial({ ...options, timers: fakeTimers(), onRoom: offer });
  serial.reset();
  serial.regions.port.write(FCR, 1, 1);
  offer();
  let text = '';
  while (serial.regions.port.read(LSR, 1) & 1) text += String.fromCharCode(serial.regions.port.read(DATA, 1));
  assert.equal(text, 'abcdefghijklmnopqrstuvwxyz0123456789');
});

test('overrun and break are line status interrupts, of highest priority, cleared by reading', () => {
  const s = openSerial();
  s.write(IER, 5);
  s.type('ab');
  assert.equal(s.serial.receiveBreak(), true);
  assert.equal(s.read(LSR), 0xe1, 'an error waits in the FIFO');
  s.read(DATA);
  assert.equal(s.seen.irq, false);
  s.read(DATA);
  assert.equal(s.read(IIR), 0xc6);
  assert.equal(s.read(LSR), 0x71);
  assert.equal(s.read(LSR), 0x61);
  assert.equal(s.read(DATA), 0);
  s.write(MCR, 0x1b);
  for (let i = 0; i < 17; i++) s.write(DATA, i);
  assert.equal(s.read(LSR) & 2, 2);
  assert.equal(s.read(DATA), 0, 'a FIFO keeps the older bytes');
});

test('modem status: a peer is there; changes in loopback interrupt', () => {
  const s = openSerial();
  assert.equal(s.read(MSR), 0xb0);
  s.write(IER, 8);
  s.write(MCR, 0x1f);
  assert.equal(s.read(MSR), 0xf0);
  s.write(MCR, 0x10);
  s.write(MCR, 0x0b);
  assert.equal(s.read(IIR), 0xc0);
  assert.equal(s.seen.irq, true);
  assert.equal(s.read(MSR), 0xbf);
  assert.equal(s.seen.irq, false);
  assert.equal(s.read(MSR), 0xb0);
});

test('a restored port drives its line and its timeout', () => {
  const s = openSerial();
  s.write(IER, 1);
  s.type('a');
  const other = makeSerial();
  restoreState(other.serial, saveState(s.serial));
  other.timers.advance(1e6);
  assert.equal(other.seen.irq, true);
  assert.equal(other.read(IIR), 0xcc);
  assert.equal(other.read(DATA), 0x61);
});

test('a guest listens once it enables the receive interrupt, or polls and sends nothing', () => {
  const { serial, read, write } = makeSerial();
  assert.equal(serial.listening(), false);
  write(1, 1);
  assert.equal(serial.listening(), true);
  write(1, 0);
  for (let i = 0; i < 100; i++) {
    read(5);
    write(0, 0x41);
  }
  assert.equal(serial.listening(), false);
  for (let i = 0; i < 100; i++) read(5);
  assert.equal(serial.listening(), true);
});
