import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDevice } from '../conformance.test-helper.ts';
import type { Place } from '../device.ts';
import { createHostBridge, type PamSegment } from './host-bridge.ts';
import { createIsaBridge, PIRQ_ROUTE } from './isa-bridge.ts';
import { anyPlace, wire, withConfigRegion } from './pci.test-helper.ts';

function makeHost(place: Place) {
  const reports: (readonly PamSegment[])[] = [];
  const bridge = createHostBridge({ name: 'host', place, pamChanged: (segments) => reports.push(segments) });
  return { bridge, pci: bridge.pci, reports };
}

function makeIsa(place: Place) {
  const irqs = Array.from({ length: 16 }, wire);
  const resets: string[] = [];
  const bridge = createIsaBridge({ name: 'isa', place, irqs, resetRequested: (kind) => resets.push(kind) });
  const raised = () => irqs.flatMap((line, irq) => (line.level ? [irq] : []));
  return { bridge, pci: bridge.pci, resets, raised };
}

function host() {
  const made = makeHost(anyPlace);
  made.bridge.reset();
  return made;
}

function isa() {
  const made = makeIsa(anyPlace);
  made.bridge.reset();
  return made;
}

checkDevice('440FX host bridge', (_timers, place) => withConfigRegion(makeHost(place).bridge));
checkDevice('PIIX3 ISA bridge', (_timers, place) => withConfigRegion(makeIsa(place).bridge));

test('the host bridge is a 440FX that always masters the bus', () => {
  const { pci } = host();
  assert.equal(pci.readConfig(0, 4), 0x1237_8086);
  assert.equal(pci.readConfig(0x0a, 2), 0x0600);
  pci.writeConfig(4, 2, 0);
  assert.equal(pci.readConfig(4, 2), 6);
});

test('PAM registers say where RAM answers below 1 MiB', () => {
  const { pci, reports } = host();
  pci.writeConfig(0x59, 4, 0x3333_3010);
  const segments = reports.at(-1)!;
  assert.deepEqual(segments[0], { start: 0xf_0000, size: 0x1_0000, readRam: true, writeRam: false });
  assert.deepEqual(segments[1], { start: 0xc_0000, size: 0x4000, readRam: false, writeRam: false });
  assert.deepEqual(segments[2], { start: 0xc_4000, size: 0x4000, readRam: true, writeRam: true });
  assert.equal(segments.length, 13);
  assert.equal(segments.at(-1)!.start, 0xe_c000);
});

test('a locked SMRAM register stays as it is until a reset', () => {
  const { bridge, pci } = host();
  pci.writeConfig(0x72, 1, 0x48);
  assert.equal(pci.readConfig(0x72, 1), 0x4a);
  pci.writeConfig(0x72, 1, 0x58);
  assert.equal(pci.readConfig(0x72, 1), 0x1a);
  pci.writeConfig(0x72, 1, 0x60);
  assert.equal(pci.readConfig(0x72, 1), 0x3a);
  bridge.reset();
  assert.equal(pci.readConfig(0x72, 1), 0x02);
});

test('PIRQs follow their route registers', () => {
  const { bridge, pci, raised } = isa();
  bridge.pirqs[0]!.set(true);
  assert.deepEqual(raised(), [], 'not routed after a reset');
  pci.writeConfig(PIRQ_ROUTE, 4, 0x800b_0b0a);
  assert.deepEqual(raised(), [10]);
  bridge.pirqs[1]!.set(true);
  bridge.pirqs[2]!.set(true);
  bridge.pirqs[1]!.set(false);
  assert.deepEqual(raised(), [10, 11]);
  pci.writeConfig(PIRQ_ROUTE, 1, 5);
  assert.deepEqual(raised(), [5, 11]);
  pci.writeConfig(PIRQ_ROUTE, 1, 8);
  assert.deepEqual(raised(), [11], 'IRQ 8 cannot be routed to');
  bridge.reset();
  assert.deepEqual(raised(), []);
});

test('port 0xCF9 resets on the rising edge of its reset bit', () => {
  const { bridge, resets } = isa();
  const { resetControl } = bridge.regions;
  resetControl.write(0, 1, 2);
  assert.equal(resetControl.read(0, 1), 2);
  resetControl.write(0, 1, 6);
  resetControl.write(0, 1, 4);
  assert.deepEqual(resets, ['system', 'cpu']);
});
