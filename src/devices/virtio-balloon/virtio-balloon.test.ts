import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FlatMemory } from '../../memory/guest-memory.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { bareOptions, guestWith, startDriver, VERSION_1 } from '../virtio/guest-driver.test-helper.ts';
import { createVirtioBalloon, type VirtioBalloon } from './virtio-balloon.ts';

const STATISTICS = 1n << 1n;
const OOM = 1n << 2n;
const REPORTING = 1n << 5n;
const ALL = VERSION_1 | STATISTICS | OOM | REPORTING;

checkDevice('virtio-balloon', (timers, place) =>
  withConfigRegion(createVirtioBalloon(bareOptions(timers, place)).device),
);

function start(features = ALL) {
  let balloon: VirtioBalloon | undefined;
  const discarded: [page: number, count: number][] = [];
  const guest = guestWith((options) => {
    const memory = options.memory as FlatMemory;
    const discard = (page: number, count: number) => {
      discarded.push([page, count]);
      return count;
    };
    balloon = createVirtioBalloon({ ...options, memory: { ...memory, discard } });
    return balloon.device;
  });
  const driver = startDriver(guest, { features, msix: true });
  return { guest, driver, balloon: balloon!, discarded, queues: driver.queues };
}

const numbers = (...pages: number[]) => new Uint8Array(Uint32Array.from(pages).buffer);

test('it says what it can do, and how many pages the host wants', () => {
  const { guest, driver, balloon } = start();
  assert.equal(guest.config(0, 4), 0x1045_1af4);
  assert.equal(driver.offered() & 0x3fn, STATISTICS | OOM | REPORTING);
  assert.equal(driver.queues.length, 4);
  balloon.setTarget(10 * PAGE_SIZE + 5);
  assert.equal(guest.map.read(driver.device!, 4), 10);
  assert.deepEqual(guest.messages, [0x40], 'and that this changed');
  balloon.setTarget(10 * PAGE_SIZE);
  balloon.setTarget(2 ** 40);
  assert.equal(guest.map.read(driver.device!, 4), 256, 'no more than there is');
  assert.equal(guest.messages.length, 2);
  guest.map.write(driver.device! + 4, 4, 7);
  assert.equal(balloon.actual(), 7 * PAGE_SIZE);
  driver.setStatus(0);
  assert.deepEqual([guest.map.read(driver.device!, 4), balloon.actual()], [256, 0], 'the wish outlives the driver');
});

test('pages that the driver hands over are discarded, neighbours together', () => {
  const { queues, discarded } = start();
  queues[0]!.add([numbers(9, 4, 5), numbers(6, 0xffff_ffff)]);
  queues[0]!.notify();
  assert.deepEqual(discarded, [
    [4, 3],
    [9, 1],
    [0xffff_ffff, 1],
  ]);
  assert.equal(queues[0]!.collect().length, 1);
  queues[1]!.add([numbers(4)]);
  queues[1]!.notify();
  assert.equal(queues[1]!.collect().length, 1);
  assert.equal(discarded.length, 3, 'to take one back needs nothing');
});

test('free pages that the driver reports are discarded, whole ones only', () => {
  for (const [features, queue] of [
    [ALL, 3],
    [ALL & ~STATISTICS, 2],
  ] as const) {
    const { guest, queues, discarded } = start(features);
    const at = queues[queue]!.descriptors;
    queues[queue]!.add([100, 100, 100]);
    const place = (i: number, address: number, length: number) => {
      guest.view.setBigUint64(at + 16 * i, BigInt(address), true);
      guest.view.setUint32(at + 16 * i + 8, length, true);
    };
    place(0, 0x40_0000, 0x20_0000);
    place(1, 0x1001, 0x3000);
    place(2, 0x5001, 0x1000);
    queues[queue]!.notify();
    assert.deepEqual(discarded, [
      [0x400, 0x200],
      [2, 2],
    ]);
    assert.equal(queues[queue]!.collect().length, 1);
  }
});

test('a report of more than there can be breaks the device', () => {
  const { guest, queues, driver } = start();
  queues[3]!.add([1]);
  guest.view.setUint32(queues[3]!.descriptors + 8, 0xffff_f000, true);
  queues[3]!.notify();
  assert.equal(driver.status() & 64, 64);
});

test('figures are asked for by returning the buffer of those before', () => {
  const { guest, queues, balloon } = start();
  const [, , queue] = queues;
  const figures = (...pairs: (readonly [tag: number, value: bigint])[]) => {
    const bytes = new Uint8Array(10 * pairs.length + 3);
    const view = new DataView(bytes.buffer);
    for (const [i, [tag, value]] of pairs.entries()) {
      view.setUint16(10 * i, tag, true);
      view.setBigUint64(10 * i + 2, value, true);
    }
    return bytes;
  };
  assert.deepEqual(balloon.statistics(), {});
  queue!.add([figures([4, 1000n], [5, 5000n], [99, 1n])]);
  queue!.notify();
  assert.equal(queue!.collect().length, 0, 'it waits');
  const saved = saveState(guest.device);
  assert.deepEqual(balloon.statistics(), { 'free memory': 1000, 'total memory': 5000 });
  assert.equal(queue!.collect().length, 1);
  queue!.add([figures([4, 900n])]);
  queue!.notify();
  assert.deepEqual(balloon.statistics(), { 'free memory': 900, 'total memory': 5000 });
  restoreState(guest.device, saved);
  assert.deepEqual(balloon.statistics(), { 'free memory': 1000, 'total memory': 5000 }, 'also in a restored one');
});
