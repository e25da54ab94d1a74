import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { BROADCAST, DELIVERY, type InterruptMessage } from '../apic-bus/interrupt-message.ts';
import { checkDevice } from '../conformance.test-helper.ts';
import type { Place } from '../device.ts';
import { createIoApic } from './io-apic.ts';

function make(place: Place) {
  const sent: InterruptMessage[] = [];
  const receiver = { takes: true };
  const ioApic = createIoApic({
    name: 'ioapic',
    place,
    bus: {
      deliver: (message) => {
        sent.push(message);
        return receiver.takes;
      },
    },
    log: () => {},
  });
  const { registers } = ioApic.regions;
  const read = (index: number) => {
    registers.write(0, 4, index);
    return registers.read(0x10, 4);
  };
  const write = (index: number, value: number) => {
    registers.write(0, 4, index);
    registers.write(0x10, 4, value);
  };
  return { ioApic, inputs: ioApic.inputs, registers, sent, receiver, read, write };
}

function rig() {
  const made = make(allocate);
  made.ioApic.reset();
  return made;
}

const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const REMOTE_IRR = 0x4000;

checkDevice('io-apic', (_timers, place) => make(place).ioApic);

test('identity: version 0x20, 24 entries, all masked', () => {
  const { read, write } = rig();
  assert.equal(read(1), 0x0017_0020);
  assert.equal(read(0x10), MASKED);
  assert.equal(read(0x10 + 2 * 23), MASKED);
  assert.equal(read(0x40), 0);
  write(0, 0xffff_ffff);
  assert.equal(read(0), 0x0f00_0000);
});

test('an edge-triggered input sends at each rise, and loses edges while masked', () => {
  const { inputs, write, sent } = rig();
  inputs[4].set(true);
  inputs[4].set(false);
  write(0x19, 0x0200_0000);
  write(0x18, 0x34);
  assert.equal(sent.length, 0);
  inputs[4].set(true);
  inputs[4].set(true);
  inputs[4].set(false);
  inputs[4].set(true);
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[0], {
    destination: 2,
    logical: false,
    mode: DELIVERY.fixed,
    vector: 0x34,
    level: true,
    trigger: 'edge',
  });
});

test('a level-triggered input is sent once until its EOI, and again if still asserted', () => {
  const { ioApic, inputs, read, write, sent } = rig();
  write(0x10 + 20, LEVEL | 0x51);
  inputs[10].set(true);
  assert.equal(read(0x10 + 20), LEVEL | REMOTE_IRR | 0x51);
  inputs[10].set(false);
  inputs[10].set(true);
  assert.equal(sent.length, 1);
  ioApic.eoi(0x52);
  assert.equal(sent.length, 1);
  ioApic.eoi(0x51);
  assert.equal(sent.length, 2);
  inputs[10].set(false);
  ioApic.eoi(0x51);
  assert.equal(sent.length, 2);
  assert.equal(read(0x10 + 20), LEVEL | 0x51);
});

test('an asserted level waits for its entry to be unmasked', () => {
  const { inputs, write, sent } = rig();
  write(0x10, MASKED | LEVEL | 0x40);
  inputs[0].set(true);
  assert.equal(sent.length, 0);
  write(0x10, LEVEL | 0x40);
  assert.equal(sent.length, 1);
});

test('the EOI register and a turn to edge-triggered both drop remote IRR', () => {
  const { inputs, read, write, registers, sent } = rig();
  write(0x10, LEVEL | 0x40);
  inputs[0].set(true);
  registers.write(0x40, 4, 0x40);
  assert.equal(sent.length, 2);
  write(0x10, MASKED | 0x40);
  write(0x10, MASKED | LEVEL | 0x40);
  assert.equal(read(0x10), MASKED | LEVEL | 0x40);
});

test('software cannot set remote IRR or delivery status', () => {
  const { read, write } = rig();
  write(0x10, 0xffff_ffff);
  assert.equal(read(0x10), 0x1_afff);
});

test('a level that no local APIC takes does not wait for an EOI that never comes', () => {
  const { inputs, write, read, sent, receiver } = rig();
  receiver.takes = false;
  write(0x10, LEVEL | 0x40);
  inputs[0].set(true);
  assert.equal(read(0x10) & REMOTE_IRR, 0);
  receiver.takes = true;
  write(0x10, LEVEL | 0x40);
  assert.equal(sent.length, 2);
  assert.equal(read(0x10) & REMOTE_IRR, REMOTE_IRR);
});

test('an NMI entry is edge-triggered whatever it says; destination 0xff is everybody', () => {
  const { inputs, write, sent, read } = rig();
  write(0x11, 0xff00_0000);
  write(0x10, LEVEL | (DELIVERY.nmi << 8) | 0x800);
  inputs[0].set(true);
  assert.deepEqual([sent[0].mode, sent[0].trigger, sent[0].destination], [DELIVERY.nmi, 'edge', BROADCAST]);
  assert.equal(sent[0].logical, true);
  assert.equal(read(0x10) & REMOTE_IRR, 0);
});

test('a reset keeps the levels that devices drive', () => {
  const { ioApic, inputs, write, sent } = rig();
  inputs[3].set(true);
  ioApic.reset();
  write(0x16, LEVEL | 0x40);
  assert.equal(sent.length, 1);
});
