import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { checkDevice, powerOn } from '../conformance.test-helper.ts';
import type { Place } from '../device.ts';
import { createPciBus, pirqOf } from './bus.ts';
import { createPciFunction } from './function.ts';
import { anyPlace, wire } from './pci.test-helper.ts';

function make(place: Place = anyPlace) {
  const pirqs = [wire(), wire(), wire(), wire()];
  const control: number[] = [];
  const bus = createPciBus({
    name: 'pci0',
    place,
    pirqs,
    resetControl: { size: 1, read: () => 0x42, write: (_offset, _size, value) => control.push(value) },
  });
  const identity = { vendor: 0x1234, device: 0x5678, revision: 0, classCode: 0xff_0000 };
  bus.attach(3, 1, powerOn(createPciFunction({ name: 'card', config: new Uint8Array(256), identity })));
  return { bus, pirqs, control, ...bus.regions };
}

checkDevice('PCI bus', (_timers, place) => make(place).bus);

test('configuration mechanism #1 selects by bus, device, function and register', () => {
  const { address, data } = make();
  address.write(0, 4, 0xff00_1903);
  assert.equal(address.read(0, 4), 0x8000_1900, 'reserved bits read as zero');
  assert.equal(data.read(0, 4), 0x5678_1234);
  assert.equal(data.read(2, 2), 0x5678);
  assert.equal(data.read(1, 2), 0x7812);
  address.write(0, 4, 0x8000_193c);
  data.write(0, 1, 0x0b);
  assert.equal(data.read(0, 1), 0, 'no pin, so no interrupt line');
  address.write(0, 4, 0x8000_190c);
  data.write(0, 1, 0x10);
  assert.equal(data.read(0, 4), 0x10);
});

test('absent functions, other buses and a clear enable bit read as ones', () => {
  const { address, data } = make();
  for (const target of [0x8000_1800, 0x8001_1900, 0x0000_1900]) {
    address.write(0, 4, target);
    data.write(0, 4, 0);
    assert.equal(data.read(0, 4), 0xffff_ffff);
    assert.equal(data.read(0, 1), 0xff);
  }
});

test('narrow accesses to CONFIG_ADDRESS do not reach it; port 0xCF9 is the reset control', () => {
  const { address, control } = make();
  address.write(0, 4, 0x8000_1900);
  address.write(3, 1, 1);
  address.write(0, 2, 0xffff);
  assert.equal(address.read(0, 4), 0x8000_1900);
  assert.equal(address.read(0, 1), 0xff);
  address.write(1, 1, 6);
  assert.deepEqual(control, [6]);
  assert.equal(address.read(1, 1), 0x42);
});

test('interrupt pins swizzle onto the PIRQs and share them', () => {
  const { bus, pirqs } = make();
  assert.deepEqual([pirqOf(1, 1), pirqOf(2, 1), pirqOf(4, 1), pirqOf(5, 1), pirqOf(5, 4)], [0, 1, 3, 0, 3]);
  const first = bus.intx(1, 0, 1);
  const second = bus.intx(5, 7, 1);
  first.set(true);
  second.set(true);
  first.set(false);
  assert.deepEqual(
    pirqs.map((line) => line.level),
    [true, false, false, false],
  );
  second.set(false);
  assert.equal(pirqs[0]?.level, false);
});

test('two functions do not fit in one place', () => {
  const { bus } = make();
  const fn = bus.functions()[0]!.fn;
  assert.throws(
    () => bus.attach(3, 1, fn),
    (error) => error instanceof VirtsError && error.kind === 'usage',
  );
  assert.throws(() => bus.attach(32, 0, fn), VirtsError);
});
