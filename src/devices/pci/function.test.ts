import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import type { Region } from '../device.ts';
import type { PciBar } from './bar.ts';
import { createPciFunction, type PciFunctionOptions } from './function.ts';
import { addressMap, wire } from './pci.test-helper.ts';

const region = (size: number): Region => ({ size, read: () => 0x5a, write: () => {} });
const IO: PciBar = { index: 0, kind: 'io', region: region(32) };
const MEMORY: PciBar = { index: 1, kind: 'memory', region: region(0x1000) };
const WIDE: PciBar = { index: 2, kind: 'memory64', prefetchable: true, region: region(0x4000) };

function make(more: Partial<PciFunctionOptions> = {}) {
  const map = addressMap();
  const line = wire();
  const config = new Uint8Array(256);
  const fn = createPciFunction({
    name: 'card',
    config,
    identity: { vendor: 0x1234, device: 0x5678, revision: 3, classCode: 0x02_0304, subsystemVendor: 0xabcd },
    bars: [IO, MEMORY, WIDE],
    interrupt: { pin: 2, line },
    mapBar: map.mapBar,
    ...more,
  });
  fn.reset();
  return { fn, map, line, config };
}

test('the header says what the function is', () => {
  const { fn } = make();
  assert.equal(fn.readConfig(0, 4), 0x5678_1234);
  assert.equal(fn.readConfig(8, 4), 0x02_0304_03);
  assert.equal(fn.readConfig(0x2c, 2), 0xabcd);
  assert.equal(fn.readConfig(0x3d, 1), 2);
  assert.equal(fn.readConfig(0x0e, 1), 0);
});

test('read-only bits ignore writes of any size and alignment', () => {
  const { fn } = make();
  for (let at = 0; at < 4; at++) fn.writeConfig(at, 4, 0xffff_ffff);
  for (const at of [8, 9, 0x2c, 0x2e, 0x30, 0x34, 0x3d, 0x40, 0xfc]) fn.writeConfig(at, 4, 0xffff_ffff);
  assert.equal(fn.readConfig(0, 4), 0x5678_1234);
  assert.equal(fn.readConfig(8, 4), 0x02_0304_03);
  assert.equal(fn.readConfig(0x3d, 1), 2);
  assert.equal(fn.readConfig(0x40, 4), 0);
});

test('accesses that cross or pass the end are safe', () => {
  const { fn } = make();
  fn.writeConfig(254, 4, 0x1234_5678);
  fn.writeConfig(300, 4, 0x1234_5678);
  assert.equal(fn.readConfig(254, 4), 0xffff_0000);
  assert.equal(fn.readConfig(256, 2), 0xffff);
});

test('BARs report their size and type when all ones are written', () => {
  const { fn, map } = make();
  fn.writeConfig(4, 2, 3);
  for (const at of [0x10, 0x14, 0x18, 0x1c, 0x20]) fn.writeConfig(at, 4, 0xffff_ffff);
  assert.equal(fn.readConfig(0x10, 4), 0xffff_ffe1);
  assert.equal(fn.readConfig(0x14, 4), 0xffff_f000);
  assert.equal(fn.readConfig(0x18, 4), 0xffff_c00c);
  assert.equal(fn.readConfig(0x1c, 4), 0xffff_ffff);
  assert.equal(fn.readConfig(0x20, 4), 0);
  assert.equal(map.placed.size, 0, 'sizing with decoding on maps nothing');
});

test('the command register gates decoding, and each move is reported', () => {
  const { fn, map } = make();
  fn.writeConfig(0x10, 4, 0xc000);
  fn.writeConfig(0x14, 4, 0xfe00_0000);
  fn.writeConfig(0x18, 4, 0x8000_0000);
  fn.writeConfig(0x1c, 4, 2);
  assert.equal(map.placed.size, 0);
  fn.writeConfig(4, 2, 2);
  assert.deepEqual([...map.placed.keys()], [0xfe00_0000, 0x2_8000_0000]);
  fn.writeConfig(4, 1, 1);
  assert.deepEqual([...map.placed.keys()], [0xc000]);
  fn.writeConfig(0x11, 1, 0xd0);
  assert.deepEqual([...map.placed.keys()], [0xd000]);
  fn.reset();
  assert.equal(map.placed.size, 0);
});

test('a 64-bit address beyond any processor maps nothing', () => {
  const { fn, map } = make();
  fn.writeConfig(4, 2, 2);
  fn.writeConfig(0x1c, 4, 0xffff_ffff);
  assert.equal(map.placed.size, 0);
});

test('INTx disable releases the line and keeps the status bit', () => {
  const { fn, line } = make();
  fn.setInterrupt(true);
  assert.equal(line.level, true);
  assert.equal(fn.readConfig(6, 2) & 8, 8);
  fn.writeConfig(4, 2, 0x400);
  assert.equal(line.level, false);
  assert.equal(fn.readConfig(6, 2) & 8, 8);
  fn.writeConfig(4, 2, 0);
  assert.equal(line.level, true);
});

test('status error bits clear by writing ones', () => {
  const { fn, config } = make();
  config[7] = 0xf9;
  fn.writeConfig(6, 2, 0x1000);
  assert.equal(fn.readConfig(6, 2), 0xe900);
});

test('capabilities form a list', () => {
  const body = Uint8Array.of(1, 2, 3);
  const { fn } = make({
    capabilities: [
      { id: 9, body },
      { id: 0x11, body: new Uint8Array(10), writable: Uint8Array.of(0, 0xc0) },
    ],
  });
  assert.equal(fn.readConfig(6, 2) & 0x10, 0x10);
  assert.deepEqual(fn.capabilities, [0x40, 0x48]);
  assert.equal(fn.readConfig(0x34, 1), 0x40);
  assert.equal(fn.readConfig(0x40, 2), 0x4809);
  assert.equal(fn.readConfig(0x48, 2), 0x0011);
  fn.writeConfig(0x48, 4, 0xffff_ffff);
  assert.equal(fn.readConfig(0x48, 4), 0xc000_0011);
});

test('a restore maps the BARs again, drives the line and refuses another device', () => {
  const { fn, config } = make();
  fn.writeConfig(0x14, 4, 0xfe00_0000);
  fn.writeConfig(4, 2, 2);
  fn.setInterrupt(true);
  const saved = config.slice();
  const other = make();
  other.config.set(saved);
  other.fn.restored();
  assert.deepEqual([...other.map.placed.keys()], [0xfe00_0000]);
  assert.equal(other.line.level, true);
  other.config[0] = 0;
  assert.throws(
    () => other.fn.restored(),
    (error) => error instanceof VirtsError && error.kind === 'bad-input',
  );
});
