import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import type { FlatMemory } from '../../memory/guest-memory.ts';
import { directIoPort, type IoRequest } from '../../memory/io-link.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { FOLDER_IN_USE, FOLDER_OPERATION } from '../folder-port.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { bareOptions, guestWith, startDriver, VERSION_1 } from '../virtio/guest-driver.test-helper.ts';
import type { VirtioPciOptions } from '../virtio/pci-transport.ts';
import { createVirtioFs } from './virtio-fs.ts';

/** A server that answers each message with its bytes backwards, at once or when told to. */
function fakeServer(late = false) {
  const waiting: IoRequest[] = [];
  const operations: number[] = [];
  const server = {
    waiting,
    operations,
    inUse: false,
    answer(request: IoRequest) {
      const bytes = request.spans.flatMap((span) => [...span]).reverse();
      let at = 0;
      for (const span of request.reply) {
        span.set(bytes.slice(at, at + span.length));
        at += span.length;
      }
      request.answer(Math.min(at, bytes.length) + (server.inUse ? FOLDER_IN_USE : 0));
    },
    handle(request: IoRequest) {
      operations.push(request.operation);
      if (request.operation === FOLDER_OPERATION.reset) server.inUse = false;
      if (late) waiting.push(request);
      else server.answer(request);
    },
  };
  return server;
}

type Fake = ReturnType<typeof fakeServer>;

const make = (options: VirtioPciOptions, server: Fake, tag = 'folder0') =>
  createVirtioFs({ ...options, tag, port: directIoPort(options.memory, server.handle) });

checkDevice('virtio-fs', (timers, place) => withConfigRegion(make(bareOptions(timers, place), fakeServer())));

function start(late = false) {
  const server = fakeServer(late);
  const guest = guestWith((options) => make(options, server));
  const driver = startDriver(guest, { features: VERSION_1, msix: true });
  return { server, guest, driver, urgent: driver.queues[0]!, queue: driver.queues[1]! };
}

test('it says which folder it is and how many queues there are', () => {
  const { guest, driver } = start();
  assert.equal(guest.config(0, 4), 0x105a_1af4);
  const config = Array.from({ length: 44 }, (_, at) => guest.map.read(driver.device! + at, 1));
  assert.equal(String.fromCharCode(...config.slice(0, 36)), `folder0${'\0'.repeat(29)}`);
  assert.deepEqual(config.slice(36), [1, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(driver.queues.length, 2);
  const bad = (error: unknown) => error instanceof VirtsError && error.kind === 'internal';
  for (const tag of ['', 'x'.repeat(37), 'a b', 'ä']) {
    assert.throws(() => guestWith((options) => make(options, fakeServer(), tag)), bad);
  }
});

test('a message goes to the server and its reply comes back, on both queues', () => {
  const { guest, queue, urgent } = start();
  queue.add([Uint8Array.of(1, 2), Uint8Array.of(3), 2, 5]);
  queue.notify();
  assert.deepEqual(
    queue.collect().map(({ bytes }) => [...bytes]),
    [[3, 2, 1]],
  );
  urgent.add([Uint8Array.of(4)]);
  urgent.notify();
  assert.deepEqual(
    urgent.collect().map(({ bytes }) => [...bytes]),
    [[]],
  );
  assert.equal((guest.memory as FlatMemory).held, 0);
});

test('a message without a byte to read breaks the device', () => {
  const { driver, queue } = start();
  queue.add([16]);
  queue.notify();
  assert.equal(driver.status() & 64, 64);
});

test('answers come late and in any order, and not after a reset', () => {
  const { server, guest, driver, queue } = start(true);
  for (const byte of [1, 2, 3]) queue.add([Uint8Array.of(byte), 4]);
  queue.notify();
  server.answer(server.waiting[2]!);
  server.answer(server.waiting[0]!);
  guest.device.poll!();
  assert.deepEqual(
    queue.collect().map(({ bytes }) => [...bytes]),
    [[3], [1]],
  );
  driver.setStatus(0);
  assert.notEqual(driver.status(), 0, 'until memory is no longer used');
  server.answer(server.waiting[1]!);
  assert.equal(driver.status(), 0);
  assert.equal((guest.memory as FlatMemory).held, 0);
});

test('a machine is not saved while the guest holds a folder, and a reset lets go', () => {
  const { server, guest, driver, queue } = start();
  const ask = () => {
    queue.add([Uint8Array.of(1), 1]);
    queue.notify();
  };
  ask();
  assert.equal(guest.device.unsavable!(), undefined);
  server.inUse = true;
  ask();
  assert.match(guest.device.unsavable!() ?? '', /folder0 mounted.*unmount it/);
  const saved = saveState(guest.device);
  const twin = guestWith((options) => make(options, fakeServer()));
  assert.throws(() => restoreState(twin.device, saved), { kind: 'bad-input' });
  driver.setStatus(0);
  assert.equal(server.operations.at(-1), FOLDER_OPERATION.reset);
  assert.equal(guest.device.unsavable!(), undefined);
});

test('what was in flight is asked again by a restored device', () => {
  const { guest, queue } = start(true);
  queue.add([Uint8Array.of(1, 2), 4]);
  queue.notify();
  const server = fakeServer();
  const twin = guestWith((options) => make(options, server));
  twin.memory.bytes.set(guest.memory.bytes);
  restoreState(twin.device, saveState(guest.device));
  assert.deepEqual(server.operations, [FOLDER_OPERATION.message]);
  twin.device.poll!();
  assert.equal(twin.view.getUint16(queue.used + 2, true), 1);
});
