import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApicBusTarget, createApicBus } from './apic-bus.ts';
import { BROADCAST, DELIVERY, type InterruptMessage } from './interrupt-message.ts';

function rig(priorities: readonly (number | undefined)[]) {
  const taken: [id: number, message: InterruptMessage][] = [];
  const logged: string[] = [];
  const bus = createApicBus({ log: (message) => logged.push(message) });
  priorities.forEach((priority, id) => {
    const target: ApicBusTarget = {
      accepts: (message) => message.destination === id || message.destination === BROADCAST,
      arbitrationPriority: () => priority,
      deliver: (message) => {
        taken.push([id, message]);
        return true;
      },
    };
    bus.attach(target);
  });
  const message: InterruptMessage = {
    destination: 0,
    logical: false,
    mode: DELIVERY.fixed,
    vector: 0x40,
    level: true,
    trigger: 'edge',
  };
  return { bus, taken, logged, message };
}

const ids = (taken: readonly [number, InterruptMessage][]) => taken.map(([id]) => id);

test('a fixed interrupt goes to all that its destination names', () => {
  const { bus, taken, message } = rig([0, 0, 0]);
  assert.equal(bus.deliver({ ...message, destination: 1 }), true);
  assert.equal(bus.deliver({ ...message, destination: BROADCAST }), true);
  assert.equal(bus.deliver({ ...message, destination: 9 }), false);
  assert.deepEqual(ids(taken), [1, 0, 1, 2]);
});

test('the lowest priority among those that take interrupts wins', () => {
  const { bus, taken, message } = rig([0x30, undefined, 0x20, 0x40]);
  bus.deliver({ ...message, destination: BROADCAST, mode: DELIVERY.lowestPriority });
  assert.deepEqual(ids(taken), [2]);
});

test('equal priorities share the vectors', () => {
  const { bus, taken, message } = rig([0, 0]);
  for (const vector of [0x40, 0x41, 0x40]) {
    bus.deliver({ ...message, destination: BROADCAST, mode: DELIVERY.lowestPriority, vector });
  }
  assert.deepEqual(ids(taken), [0, 1, 0]);
});

test('a lowest-priority interrupt that nobody takes is reported', () => {
  const { bus, message } = rig([undefined]);
  assert.equal(bus.deliver({ ...message, mode: DELIVERY.lowestPriority }), false);
});

test('an MSI is decoded from its address and data', () => {
  const { bus, taken } = rig([0, 0]);
  assert.equal(bus.msi(0xfee0_1000, 0x0000_0051), true);
  const [[id, message]] = taken;
  assert.equal(id, 1);
  assert.deepEqual(message, {
    destination: 1,
    logical: false,
    mode: DELIVERY.fixed,
    vector: 0x51,
    level: true,
    trigger: 'edge',
  });
});

test('an MSI may be logical, level-triggered, redirected, or for everybody', () => {
  const { bus, taken } = rig([5, 3]);
  bus.msi(0xfeef_f00c, 0xc052);
  const [[id, message]] = taken;
  assert.equal(id, 1, 'the redirection hint asks for the lowest priority');
  assert.deepEqual([message.logical, message.trigger, message.level], [true, 'level', true]);
  assert.equal(message.destination, BROADCAST);
});

test('a malformed MSI is ignored and logged', () => {
  const { bus, taken, logged } = rig([0]);
  assert.equal(bus.msi(0xfed0_0000, 0x51), false);
  assert.equal(bus.msi(0xfee0_0000, 0x351), false);
  assert.equal(bus.msi(0x1_fee0_0000, 0x51), false);
  assert.equal(taken.length, 0);
  assert.equal(logged.length, 3);
});
