import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { createEcho, type Echo } from './echo.test-helper.ts';
import {
  bareOptions,
  EVENT_IDX,
  type Guest,
  guestWith,
  INDIRECT,
  probe,
  startDriver,
  VERSION_1,
} from './guest-driver.test-helper.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

function echoGuest(late = false): { guest: Guest; echo: Echo } {
  let echo: Echo | undefined;
  const guest = guestWith((options) => {
    echo = createEcho(options, late);
    return echo.device;
  });
  return { guest, echo: echo! };
}

function driven(features = VERSION_1, msix = true, late = false) {
  const { guest, echo } = echoGuest(late);
  return { guest, echo, driver: startDriver(guest, { features, msix }) };
}

checkDevice('virtio transport', (timers, place) => withConfigRegion(createEcho(bareOptions(timers, place)).device));

test('the function is a modern virtio device with the structures a driver looks for', () => {
  const { guest } = echoGuest();
  assert.equal(guest.config(0, 4), 0x107f_1af4);
  assert.equal(guest.config(8, 1), 1);
  const found = probe(guest);
  assert.ok(found.common && found.notify && found.isr && found.device && found.msixTable && found.windowCapability);
  assert.equal(found.notifyMultiplier, 4);
  assert.equal(guest.config(found.msixCapability + 2, 2) & 0x7ff, 2, 'a vector for each queue and one for changes');
});

test('a driver negotiates, and buffers come back with an interrupt message each', () => {
  const { guest, driver } = driven();
  assert.equal(driver.status(), 15);
  assert.equal(driver.offered(), VERSION_1 | EVENT_IDX | INDIRECT | 1n);
  const head = driver.queues[0]!.add([bytes(1, 2), bytes(3), 2, 8]);
  driver.queues[0]!.notify();
  assert.deepEqual(driver.queues[0]!.collect(), [{ head, bytes: bytes(1, 2, 3) }]);
  driver.queues[1]!.add([bytes(9), 1]);
  driver.queues[1]!.notify();
  assert.equal(driver.queues[1]!.collect().length, 1);
  assert.deepEqual(guest.messages, [0x41, 0x42]);
});

test('rings wrap around many times', () => {
  const { driver } = driven(VERSION_1 | EVENT_IDX);
  const queue = driver.queues[0]!;
  for (let round = 0; round < 70_000; round++) {
    queue.add([bytes(round & 0xff), 1]);
    queue.notify();
    if (round % 5 === 0 || round > 69_990) assert.equal(queue.collect().at(-1)?.bytes[0], round & 0xff);
  }
  assert.equal(driver.status(), 15);
});

test('indirect tables work once negotiated, and are a fault before', () => {
  const { driver } = driven(VERSION_1 | INDIRECT);
  driver.queues[0]!.add([bytes(4, 5), 1, 1], true);
  driver.queues[0]!.notify();
  assert.deepEqual(driver.queues[0]!.collect()[0]?.bytes, bytes(4, 5));

  const plain = driven();
  plain.driver.queues[0]!.add([bytes(4, 5), 2], true);
  plain.driver.queues[0]!.notify();
  assert.equal(plain.driver.status(), 15 | 64);
});

test('without MSI-X the line is raised until the ISR status is read', () => {
  const { guest, driver, echo } = driven(VERSION_1, false);
  driver.queues[0]!.add([bytes(1), 1]);
  driver.queues[0]!.notify();
  assert.equal(guest.pirqs[1]!.level, true);
  echo.port.configChanged();
  assert.equal(guest.map.read(driver.isr, 1), 3);
  assert.equal(guest.map.read(driver.isr, 1), 0);
  assert.equal(guest.pirqs[1]!.level, false);
  assert.deepEqual(guest.messages, []);
});

test('enabling MSI-X releases the line', () => {
  const { guest, driver } = driven(VERSION_1, false);
  driver.queues[0]!.add([bytes(1), 1]);
  driver.queues[0]!.notify();
  guest.setConfig(driver.msixCapability + 2, 2, 0x8000);
  assert.equal(guest.pirqs[1]!.level, false);
});

test('a driver can ask not to be interrupted', () => {
  const { guest, driver } = driven();
  const queue = driver.queues[0]!;
  guest.view.setUint16(queue.available, 1, true);
  queue.add([bytes(1), 1]);
  queue.notify();
  assert.deepEqual(guest.messages, []);
  guest.view.setUint16(queue.available, 0, true);
  queue.add([bytes(1), 1]);
  queue.notify();
  assert.deepEqual(guest.messages, [0x41]);
});

test('with event indices interrupts and notifications come when asked for', () => {
  const { guest, driver } = driven(VERSION_1 | EVENT_IDX);
  const queue = driver.queues[0]!;
  const usedEvent = queue.available + 4 + 2 * queue.size;
  const availableEvent = queue.used + 4 + 8 * queue.size;
  guest.view.setUint16(usedEvent, 2, true);
  for (let i = 0; i < 4; i++) {
    queue.add([bytes(1), 1]);
    queue.notify();
    assert.equal(guest.messages.length, i < 2 ? 0 : 1, `after buffer ${i}`);
    assert.equal(guest.view.getUint16(availableEvent, true), i + 1);
  }
});

test('features: none that was not offered, VERSION_1 always, none after FEATURES_OK', () => {
  for (const features of [VERSION_1 | 2n, 1n, VERSION_1 | (1n << 34n)]) {
    const { guest } = echoGuest();
    assert.equal(startDriver(guest, { features, msix: false }).status(), 3, `features ${features}`);
  }
  const { guest, driver } = driven();
  guest.map.write(driver.common + 8, 4, 0);
  guest.map.write(driver.common + 12, 4, 1);
  assert.equal(guest.map.read(driver.common + 12, 4), 0);
  guest.map.write(driver.common + 8, 4, 7);
  assert.equal(guest.map.read(driver.common + 12, 4), 0);
  guest.map.write(driver.common, 4, 2);
  assert.equal(guest.map.read(driver.common + 4, 4), 0);
});

test('nothing is consumed before DRIVER_OK, and what waited is consumed with it', () => {
  const { guest } = echoGuest();
  const driver = startDriver(guest, { features: VERSION_1, msix: true, hold: true });
  driver.queues[0]!.add([bytes(7), 1]);
  driver.queues[0]!.notify();
  assert.equal(driver.queues[0]!.collect().length, 0);
  driver.setStatus(15);
  assert.equal(driver.queues[0]!.collect().length, 1);
});

test('a function that may not master the bus leaves memory alone until it may', () => {
  const { guest, driver } = driven();
  guest.setConfig(4, 2, guest.config(4, 2) & ~4);
  driver.queues[0]!.add([bytes(7), 1]);
  driver.queues[0]!.notify();
  assert.equal(driver.queues[0]!.collect().length, 0);
  guest.setConfig(4, 2, guest.config(4, 2) | 4);
  assert.equal(driver.queues[0]!.collect().length, 1);
  assert.deepEqual(guest.messages, [0x41]);
});

test('writing 0 resets: status, features, queues, line; late answers are dropped', () => {
  const { guest, driver, echo } = driven(VERSION_1, true, true);
  driver.queues[0]!.add([bytes(7), 1]);
  driver.queues[0]!.notify();
  assert.equal(echo.waiting.length, 1);
  driver.setStatus(0);
  assert.equal(driver.status(), 0);
  guest.map.write(driver.common + 0x16, 2, 0);
  assert.equal(guest.map.read(driver.common + 0x1c, 2), 0);
  assert.equal(guest.map.read(driver.common + 0x18, 2), 64);
  assert.equal(guest.map.read(driver.common + 0x20, 4), 0);
  const again = startDriver(guest, { features: VERSION_1, msix: true });
  guest.memory.bytes.fill(0, again.queues[0]!.available, again.queues[0]!.used + 4);
  const before = guest.memory.bytes.slice();
  echo.answer();
  assert.deepEqual(guest.memory.bytes, before, 'a stale answer reaches neither buffer nor ring');
});

test('queue registers: sizes must be powers of two in range, absent queues have size 0, enabled ones are settled', () => {
  const { guest, driver } = driven();
  const { map } = guest;
  const { common } = driver;
  map.write(common + 0x16, 2, 1);
  for (const size of [0, 3, 32, 0xffff, 8]) map.write(common + 0x18, 2, size);
  assert.equal(map.read(common + 0x18, 2), 16, 'enabled: unchanged');
  map.write(common + 0x20, 4, 0);
  assert.notEqual(map.read(common + 0x20, 4), 0);
  map.write(common + 0x1c, 2, 0);
  assert.equal(map.read(common + 0x1c, 2), 1, 'only a reset disables a queue');
  map.write(common + 0x1a, 2, 99);
  assert.equal(map.read(common + 0x1a, 2), 0xffff, 'no such vector');
  map.write(common + 0x16, 2, 2);
  assert.deepEqual([map.read(common + 0x18, 2), map.read(common + 0x1e, 2)], [0, 0]);
  driver.setStatus(0);
  map.write(common + 0x16, 2, 0);
  for (const size of [0, 3, 128, 0xffff]) {
    map.write(common + 0x18, 2, size);
    assert.equal(map.read(common + 0x18, 2), 64);
  }
  map.write(common + 0x18, 2, 8);
  assert.equal(map.read(common + 0x18, 2), 8);
});

test('device configuration: any width reads, changes raise the generation and an interrupt', () => {
  const { guest, driver, echo } = driven();
  const { map } = guest;
  assert.equal(map.read(driver.device!, 4), 0x0403_0201);
  assert.equal(map.read(driver.device! + 3, 2), 0x0504);
  assert.equal(map.read(driver.device! + 4, 4), 0, 'past the end');
  map.write(driver.device! + 5, 1, 0xaa);
  assert.equal(map.read(driver.device! + 5, 1), 0xaa);
  const generation = map.read(driver.common + 0x15, 1);
  echo.port.config[0] = 9;
  echo.port.configChanged();
  assert.notEqual(map.read(driver.common + 0x15, 1), generation);
  assert.deepEqual(guest.messages, [0x40]);
});

test('the configuration window reaches the structures without a mapped BAR', () => {
  const { guest } = echoGuest();
  const { windowCapability: at, device, common } = probe(guest);
  const through = (offset: number, size: number) => {
    guest.setConfig(at + 4, 1, 0);
    guest.setConfig(at + 8, 4, offset);
    guest.setConfig(at + 12, 4, size);
  };
  guest.setConfig(4, 2, 0);
  through(device! - common, 4);
  assert.equal(guest.config(at + 16, 4), 0x0403_0201);
  through(0x14, 1);
  guest.setConfig(at + 16, 4, 1);
  assert.equal(guest.config(at + 16, 1), 1);
  for (const [bar, offset, size] of [
    [5, 0, 4],
    [0, 2, 4],
    [0, 0x4000, 4],
    [0, 0xffff_fffc, 4],
    [0, 0, 3],
  ] as const) {
    through(offset, size);
    guest.setConfig(at + 4, 1, bar);
    guest.setConfig(at + 16, 4, 0xffff_ffff);
    assert.equal(guest.config(at + 16, 4), 0xffff_ffff, 'nothing happens');
  }
});

test('requests in flight are handed out again after a restore, in place and elsewhere', () => {
  const { guest, driver, echo } = driven(VERSION_1, true, true);
  const queue = driver.queues[0]!;
  queue.add([bytes(1, 2), 2]);
  queue.add([bytes(3, 4), 2]);
  queue.notify();
  const saved = saveState(echo.device);
  const memory = guest.memory.bytes.slice();

  const other = echoGuest(true);
  other.guest.memory.bytes.set(memory);
  restoreState(other.echo.device, saved);
  assert.equal(other.echo.waiting.length, 2);
  other.echo.answer();
  other.echo.answer();
  assert.equal(other.guest.view.getUint16(queue.used + 2, true), 2);
  assert.deepEqual(other.guest.messages, [0x41, 0x41]);
  assert.equal(other.guest.map.placed.size, 2, 'the BARs are mapped again');

  echo.answer();
  guest.memory.bytes.set(memory);
  restoreState(echo.device, saved);
  assert.equal(echo.waiting.length, 3, 'one of before and two of now');
  echo.answer();
  assert.equal(guest.view.getUint16(queue.used + 2, true), 0, 'the old one is stale');
  echo.answer();
  echo.answer();
  assert.deepEqual(
    queue.collect().map((entry) => entry.bytes),
    [bytes(1, 2), bytes(3, 4)],
  );
});

test('a ring that is refilled for ever is left after a while and gone on with by timer', () => {
  const { guest, driver, echo } = driven();
  const queue = driver.queues[0]!;
  const { state } = echo.device;
  const push = echo.port.queues[0]!.push;
  let refills = 1000;
  (echo.port.queues[0] as { push: typeof push }).push = (request, written) => {
    push(request, written);
    if (refills-- > 0) queue.add([bytes(1), 1]);
  };
  queue.add([bytes(1), 1]);
  queue.notify();
  assert.ok(refills > 500, 'the burst ended early');
  assert.deepEqual([...(state as unknown as { deferred: Uint8Array }).deferred], [1, 0]);
  const saved = saveState(echo.device);
  restoreState(echo.device, saved);
  for (let i = 0; i < 100; i++) guest.timers.advance(1);
  assert.ok(refills <= 0);
  assert.equal(guest.timers.armed, 0);
});
