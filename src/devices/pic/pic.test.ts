import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { createPic } from './pic.ts';

function makePic(icw4 = 0x01) {
  const pins = { intr: false };
  const pic = createPic({ place: allocate, intr: { set: (level) => (pins.intr = level) }, log() {} });
  pic.reset();
  const { master, slave, elcr } = pic.regions;
  const initialise = (region: typeof master, base: number, icw3: number) => {
    region.write(0, 1, 0x11);
    region.write(1, 1, base);
    region.write(1, 1, icw3);
    region.write(1, 1, icw4);
  };
  initialise(master, 0x20, 4);
  initialise(slave, 0x28, 2);
  return { pic, master, slave, elcr, pins, eoi: (region = master) => region.write(0, 1, 0x20) };
}

checkDevice('pic', (_timers, place) => createPic({ place, intr: { set() {} }, log() {} }));

test('an edge requests once, is delivered by priority and nests', () => {
  const { pic, master, pins, eoi } = makePic();
  pic.inputs[4].set(true);
  pic.inputs[1].set(true);
  assert.equal(master.read(0, 1), 0x12, 'IRR');
  assert.equal(pic.acknowledge(), 0x21);
  assert.equal(pins.intr, false, 'level 4 waits for level 1');
  pic.inputs[0].set(true);
  assert.equal(pins.intr, true, 'level 0 interrupts level 1');
  assert.equal(pic.acknowledge(), 0x20);
  master.write(0, 1, 0x0b);
  assert.equal(master.read(0, 1), 0x03, 'ISR');
  eoi();
  eoi();
  assert.equal(pic.acknowledge(), 0x24);
  eoi();
  assert.equal(pins.intr, false, 'a line that stays high does not request again');
});

test('the slave interrupts through level 2 and both need an EOI', () => {
  const { pic, master, slave, pins, eoi } = makePic();
  pic.inputs[12].set(true);
  assert.equal(pic.acknowledge(), 0x2c);
  pic.inputs[8].set(true);
  assert.equal(pins.intr, false, 'level 2 is in service');
  master.write(0, 1, 0x62);
  assert.equal(pic.acknowledge(), 0x28, 'after the specific EOI of level 2 the better level nests');
  eoi(slave);
  slave.write(0, 1, 0x0b);
  assert.equal(slave.read(0, 1), 0x10);
});

test('two requests of the slave are both delivered with automatic EOI', () => {
  const { pic, pins } = makePic(0x03);
  pic.inputs[9].set(true);
  pic.inputs[15].set(true);
  assert.equal(pic.acknowledge(), 0x29);
  assert.equal(pins.intr, true);
  assert.equal(pic.acknowledge(), 0x2f);
  assert.equal(pins.intr, false);
});

test('special fully nested mode lets a better request of the slave through', () => {
  const { pic, pins } = makePic(0x11);
  pic.inputs[12].set(true);
  assert.equal(pic.acknowledge(), 0x2c);
  pic.inputs[12].set(false);
  pic.inputs[8].set(true);
  assert.equal(pins.intr, true);
  assert.equal(pic.acknowledge(), 0x28);
});

test('requests that vanish are spurious: level 7 or 15, with no level 7 in service', () => {
  const { pic, master, slave } = makePic();
  pic.inputs[3].set(true);
  pic.inputs[3].set(false);
  assert.equal(pic.acknowledge(), 0x27);
  master.write(0, 1, 0x0b);
  assert.equal(master.read(0, 1), 0);
  slave.write(1, 1, 0xff);
  pic.inputs[10].set(true);
  assert.equal(pic.acknowledge(), 0x27, 'a masked slave does not request');
});

test('a level-triggered line requests as long as it is high', () => {
  const { pic, elcr, pins, eoi, slave } = makePic();
  elcr.write(1, 1, 0xff);
  assert.equal(elcr.read(1, 1), 0xde, 'RTC and coprocessor stay edge-triggered');
  elcr.write(0, 1, 0xff);
  assert.equal(elcr.read(0, 1), 0xf8);
  pic.inputs[11].set(true);
  assert.equal(pic.acknowledge(), 0x2b);
  eoi(slave);
  eoi();
  assert.equal(pins.intr, true);
  assert.equal(pic.acknowledge(), 0x2b);
  pic.inputs[11].set(false);
  eoi(slave);
  eoi();
  assert.equal(pins.intr, false);
});

test('masking, special mask mode', () => {
  const { pic, master, pins } = makePic();
  master.write(1, 1, 0x02);
  assert.equal(master.read(1, 1), 0x02);
  pic.inputs[1].set(true);
  assert.equal(pins.intr, false);
  master.write(1, 1, 0x00);
  assert.equal(pins.intr, true, 'a masked request is kept');
  assert.equal(pic.acknowledge(), 0x21);
  pic.inputs[5].set(true);
  assert.equal(pins.intr, false);
  master.write(1, 1, 0x02);
  master.write(0, 1, 0x68);
  assert.equal(pins.intr, true, 'the masked level in service no longer blocks');
  assert.equal(pic.acknowledge(), 0x25);
  master.write(0, 1, 0x20);
  master.write(0, 1, 0x20);
  master.write(0, 1, 0x0b);
  assert.equal(master.read(0, 1), 0x02, 'a non-specific EOI does not end a masked level');
});

test('rotation by EOI, by automatic EOI and by command', () => {
  const { pic, master, pins } = makePic();
  pic.inputs[4].set(true);
  pic.acknowledge();
  master.write(0, 1, 0xa0);
  pic.inputs[3].set(true);
  pic.inputs[6].set(true);
  assert.equal(pic.acknowledge(), 0x26, 'level 4 is lowest, so 5, 6, 7 come first');
  master.write(0, 1, 0x66);
  assert.equal(pic.acknowledge(), 0x23);
  master.write(0, 1, 0x63);
  master.write(0, 1, 0xc0 | 7);
  pic.inputs[0].set(true);
  pic.inputs[7].set(true);
  assert.equal(pic.acknowledge(), 0x20);
  assert.equal(pins.intr, false);

  const automatic = makePic(0x03);
  automatic.master.write(0, 1, 0x80);
  automatic.pic.inputs[0].set(true);
  automatic.pic.inputs[1].set(true);
  automatic.pic.acknowledge();
  automatic.pic.inputs[0].set(false);
  automatic.pic.inputs[0].set(true);
  assert.equal(automatic.pic.acknowledge(), 0x21, 'level 0 went to the end');
});

test('poll acknowledges through a read', () => {
  const { pic, master, pins } = makePic();
  pic.inputs[6].set(true);
  master.write(0, 1, 0x0c);
  assert.equal(master.read(0, 1), 0x86);
  assert.equal(pins.intr, false);
  master.write(0, 1, 0x0c);
  assert.equal(master.read(1, 1), 0, 'nothing pending');
  assert.equal(master.read(1, 1), 0, 'one read only');
});

test('ICW1 clears the mask and requires a new edge', () => {
  const { pic, master, pins } = makePic();
  pic.inputs[5].set(true);
  master.write(1, 1, 0xff);
  master.write(0, 1, 0x13);
  master.write(1, 1, 0x47);
  assert.equal(master.read(1, 1), 0);
  master.write(1, 1, 0x01);
  master.write(1, 1, 0x10);
  assert.equal(master.read(1, 1), 0x10, 'a single chip has no ICW3');
  assert.equal(pins.intr, false);
  pic.inputs[5].set(false);
  pic.inputs[5].set(true);
  assert.equal(pic.acknowledge(), 0x45);
});

test('restored() drives INTR from the state', () => {
  const { pic } = makePic();
  pic.inputs[1].set(true);
  const other = makePic();
  restoreState(other.pic, saveState(pic));
  assert.equal(other.pins.intr, true);
  assert.equal(other.pic.acknowledge(), 0x21);
});
