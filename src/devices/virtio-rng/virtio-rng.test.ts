import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDevice } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { bareOptions, guestWith, startDriver, VERSION_1 } from '../virtio/guest-driver.test-helper.ts';
import type { VirtioPciOptions } from '../virtio/pci-transport.ts';
import { createVirtioRng } from './virtio-rng.ts';

/** Counts up, so that a test sees which bytes were drawn. */
function make(options: VirtioPciOptions) {
  let next = 0;
  return createVirtioRng({
    ...options,
    random: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = ++next;
    },
  });
}

checkDevice('virtio-rng', (timers, place) => withConfigRegion(make(bareOptions(timers, place))));

function start() {
  const guest = guestWith(make);
  return { guest, driver: startDriver(guest, { features: VERSION_1, msix: true }) };
}

test('it is an entropy device of one queue', () => {
  const { guest, driver } = start();
  assert.equal(guest.config(0, 4), 0x1044_1af4);
  assert.equal(driver.queues.length, 1);
  assert.equal(driver.device, undefined, 'it has no configuration structure');
});

test('buffers are filled, each with its own bytes, and reported', () => {
  const { guest, driver } = start();
  const [queue] = driver.queues;
  queue!.add([4]);
  queue!.add([2, 3]);
  queue!.notify();
  assert.deepEqual(
    queue!.collect().map(({ bytes }) => [...bytes]),
    [
      [1, 2, 3, 4],
      [5, 6, 7, 8, 9],
    ],
  );
  assert.deepEqual(guest.messages, [0x41]);
});

test('a huge buffer is filled in part, a readable one not at all', () => {
  const { guest, driver } = start();
  const [queue] = driver.queues;
  guest.view.setBigUint64(queue!.descriptors, 0x4_0000n, true);
  queue!.add([Uint8Array.of(1)]);
  queue!.add([0x1_0000]);
  queue!.notify();
  assert.deepEqual(
    [0, 1].map((i) => guest.view.getUint32(queue!.used + 8 + 8 * i, true)),
    [0, 4096],
  );
});
