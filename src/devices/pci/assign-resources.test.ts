import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { powerOn } from '../conformance.test-helper.ts';
import { assignResources } from './assign-resources.ts';
import type { PciBar } from './bar.ts';
import { createPciBus } from './bus.ts';
import { createPciFunction } from './function.ts';
import { createHostBridge } from './host-bridge.ts';
import { addressMap, anyPlace, wire } from './pci.test-helper.ts';

const bar = (index: number, kind: PciBar['kind'], size: number): PciBar => {
  return { index, kind, region: { size, read: () => 0, write: () => {} } };
};

function board() {
  const map = addressMap();
  const bus = createPciBus({ name: 'pci0', place: anyPlace, pirqs: [wire(), wire(), wire(), wire()] });
  bus.attach(0, 0, powerOn(createHostBridge({ name: 'host', place: anyPlace })).pci);
  const add = (slot: number, bars: PciBar[]) => {
    const fn = createPciFunction({
      name: `card${slot}`,
      config: new Uint8Array(256),
      identity: { vendor: 0x1234, device: slot, revision: 0, classCode: 0xff_0000 },
      bars,
      interrupt: { pin: 1, line: bus.intx(slot, 0, 1) },
      mapBar: map.mapBar,
    });
    bus.attach(slot, 0, powerOn(fn));
    return fn;
  };
  return { bus, map, add };
}

const WINDOWS = { mmio: { base: 0xe000_1000, size: 0x10_0000 }, io: { base: 0xc000, size: 0x1000 } };

test('every BAR gets an aligned place of its own, decoding and an interrupt line', () => {
  const { bus, map, add } = board();
  const first = add(2, [bar(0, 'memory', 0x1000), bar(1, 'memory64', 0x8000)]);
  const second = add(3, [bar(0, 'io', 0x40), bar(5, 'memory', 0x1000)]);
  const assigned = assignResources(bus, { ...WINDOWS, irq: (pin, slot) => 8 + pin + slot });
  assert.equal(assigned.length, 4);
  assert.equal(map.placed.size, 4);
  const spans = [...map.placed].map(([base, region]) => ({ base, end: base + region.size }));
  for (const { base, end } of spans) {
    assert.equal(base % (end - base), 0);
    assert.ok((base >= 0xc000 && end <= 0xd000) || (base >= 0xe000_1000 && end <= 0xe010_1000));
    assert.equal(spans.filter((other) => other.base < end && base < other.end).length, 1);
  }
  assert.deepEqual([first.readConfig(0x3c, 1), second.readConfig(0x3c, 1)], [11, 12]);
  assert.equal(second.readConfig(4, 2) & 7, 3, 'bus mastering is the driver’s to switch on');
});

test('a window that is too small is an error', () => {
  const { bus, add } = board();
  add(2, [bar(0, 'memory', 0x10_0000)]);
  assert.throws(
    () => assignResources(bus, { ...WINDOWS, irq: () => 11 }),
    (error) => error instanceof VirtsError && error.kind === 'no-space',
  );
});
