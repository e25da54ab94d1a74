import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import type { FlatMemory } from '../../memory/guest-memory.ts';
import { directIoPort, type IoRequest } from '../../memory/io-link.ts';
import { BLOCK_OPERATION, BLOCK_RESULT, type DiskShape } from '../block-port.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { bareOptions, guestWith, INDIRECT, startDriver, VERSION_1 } from '../virtio/guest-driver.test-helper.ts';
import type { VirtioPciOptions } from '../virtio/pci-transport.ts';
import { createVirtioBlk, type VirtioBlkOptions } from './virtio-blk.ts';

const SHAPE: DiskShape = { size: 64 * 512, readOnly: false, discards: true, granularity: 4096 };
const TYPE = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, zeroes: 13 };
const bit = (n: number) => 1n << BigInt(n);
const [BLK_RO, BLK_FLUSH, BLK_WCE, BLK_MQ, BLK_DISCARD, BLK_ZEROES] = [5, 9, 11, 12, 13, 14].map(bit) as bigint[];
const ALL = VERSION_1 | BLK_FLUSH! | BLK_WCE! | BLK_DISCARD! | BLK_ZEROES!;

/** A disk in memory that notes what it is asked; with `late` it answers only when told to. */
function fakeDisk(late = false) {
  const bytes = new Uint8Array(SHAPE.size);
  const asked: [operation: number, position: number, count: number][] = [];
  const waiting: IoRequest[] = [];
  let result: number = BLOCK_RESULT.ok;
  function answer(request: IoRequest): void {
    let at = request.position;
    for (const span of request.spans) {
      if (request.operation === BLOCK_OPERATION.read) span.set(bytes.subarray(at, at + span.length));
      else bytes.set(span, at);
      at += span.length;
    }
    request.answer(result);
  }
  return {
    bytes,
    asked,
    waiting,
    answer,
    fail: (value: number) => {
      result = value;
    },
    handle(request: IoRequest) {
      asked.push([request.operation, request.position, request.count]);
      if (late) waiting.push(request);
      else answer(request);
    },
  };
}

type Fake = ReturnType<typeof fakeDisk>;

function make(options: VirtioPciOptions, disk: Fake, more: Partial<VirtioBlkOptions> = {}) {
  const memory = options.memory as FlatMemory;
  return createVirtioBlk({
    ...options,
    disk: SHAPE,
    port: directIoPort(memory, disk.handle),
    ...more,
  });
}

checkDevice('virtio-blk', (timers, place) =>
  withConfigRegion(make(bareOptions(timers, place), fakeDisk(), { queues: 2 })),
);

function start({ features = ALL, late = false, more = {} as Partial<VirtioBlkOptions> } = {}) {
  const disk = fakeDisk(late);
  const guest = guestWith((options) => make(options, disk, more));
  const driver = startDriver(guest, { features, msix: true });
  const header = (type: number, sector: number) => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setUint32(0, type, true);
    new DataView(bytes.buffer).setBigUint64(8, BigInt(sector), true);
    return bytes;
  };
  const range = (sector: number, count: number, flags = 0) => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(sector), true);
    new DataView(bytes.buffer).setUint32(8, count, true);
    new DataView(bytes.buffer).setUint32(12, flags, true);
    return bytes;
  };
  const [queue] = driver.queues;
  /** Makes a request; returns what the device wrote, the status byte last. */
  function ask(type: number, sector: number, data: Uint8Array | number | undefined, indirect = false): number[] {
    queue!.add([header(type, sector), ...(data === undefined ? [] : [data]), 1], indirect);
    queue!.notify();
    return queue!.collect().flatMap(({ bytes }) => [...bytes]);
  }
  return { disk, guest, driver, queue: queue!, ask, header, range };
}

const sector = (value: number, count = 1) => new Uint8Array(512 * count).fill(value);

test('it says what it is and what the disk is like', () => {
  const { guest, driver } = start();
  assert.equal(guest.config(0, 4), 0x1042_1af4);
  const read = (offset: number, size: 1 | 2 | 4) => guest.map.read(driver.device! + offset, size);
  assert.deepEqual([read(0, 4), read(4, 4)], [64, 0], 'capacity in sectors');
  assert.deepEqual([read(12, 4), read(20, 4), read(34, 2)], [254, 512, 1]);
  assert.deepEqual([read(36, 4) > 0, read(40, 4), read(44, 4), read(56, 1)], [true, 1, 8, 1]);
  assert.equal(driver.offered() & (BLK_RO! | BLK_MQ!), 0n);
});

test('what is written is read back, through indirect descriptors too', () => {
  const { disk, ask, guest } = start({ features: ALL | INDIRECT });
  assert.deepEqual(ask(TYPE.out, 3, sector(0x5a, 2)), [0]);
  assert.deepEqual([disk.bytes[3 * 512 - 1], disk.bytes[3 * 512], disk.bytes[5 * 512 - 1]], [0, 0x5a, 0x5a]);
  const read = ask(TYPE.in, 4, 512, true);
  assert.deepEqual([read.length, read[0], read[511], read[512]], [513, 0x5a, 0x5a, 0]);
  assert.deepEqual(guest.messages, [0x41, 0x41]);
  assert.equal((guest.memory as FlatMemory).held, 0);
});

test('each type of request becomes an operation', () => {
  const { disk, ask, range } = start();
  assert.deepEqual(ask(TYPE.flush, 0, undefined), [0]);
  assert.deepEqual(ask(TYPE.discard, 0, range(8, 16)), [0]);
  assert.deepEqual(ask(TYPE.zeroes, 0, range(1, 2)), [0]);
  assert.deepEqual(ask(TYPE.zeroes, 0, range(1, 2, 1)), [0]);
  assert.deepEqual(disk.asked, [
    [BLOCK_OPERATION.flush, 0, 0],
    [BLOCK_OPERATION.discard, 8 * 512, 16 * 512],
    [BLOCK_OPERATION.zeroInPlace, 512, 1024],
    [BLOCK_OPERATION.zeroAndUnmap, 512, 1024],
  ]);
});

test('requests that make no sense are answered, and reach no back end', () => {
  const { disk, ask, range } = start();
  const cases: [number, number, Uint8Array | number | undefined, number][] = [
    [TYPE.in, 64, 512, 1],
    [TYPE.in, 63, 1024, 1],
    [TYPE.in, 2 ** 53, 512, 1],
    [TYPE.in, 0, 511, 1],
    [TYPE.out, 0, new Uint8Array(100), 1],
    [TYPE.out, 64, sector(1), 1],
    [TYPE.discard, 0, range(60, 5), 1],
    [TYPE.discard, 0, range(0, 0xffff_ffff), 1],
    [TYPE.discard, 0, range(0, 1, 1), 2],
    [TYPE.zeroes, 0, range(0, 1, 2), 2],
    [TYPE.discard, 0, new Uint8Array(32), 2],
    [77, 0, undefined, 2],
  ];
  for (const [type, at, data, status] of cases) assert.equal(ask(type, at, data).at(-1), status, `${type} at ${at}`);
  assert.deepEqual(disk.asked, []);
});

test('a chain without header or status breaks the device', () => {
  for (const pieces of [[new Uint8Array(15), 1], [new Uint8Array(16)]]) {
    const { queue, driver } = start();
    queue.add(pieces);
    queue.notify();
    assert.equal(driver.status() & 64, 64);
  }
});

test('a disk that can only be read says so and refuses writes', () => {
  const { ask, driver, range, disk } = start({
    features: VERSION_1,
    more: { disk: { ...SHAPE, readOnly: true } },
  });
  assert.equal(driver.offered() & (BLK_RO! | BLK_FLUSH! | BLK_DISCARD! | BLK_ZEROES!), BLK_RO!);
  assert.deepEqual(ask(TYPE.out, 0, sector(1)), [1]);
  assert.deepEqual(ask(TYPE.discard, 0, range(0, 1)), [2]);
  assert.equal(ask(TYPE.in, 0, 512).at(-1), 0);
  assert.equal(disk.asked.length, 1);
});

test('without the flush feature, or with the cache switched off, writes go through', () => {
  const plain = start({ features: VERSION_1 });
  plain.ask(TYPE.out, 0, sector(1));
  const { ask, guest, driver, disk } = start();
  ask(TYPE.out, 0, sector(1));
  guest.map.write(driver.device! + 32, 1, 0);
  ask(TYPE.out, 0, sector(1));
  guest.map.write(driver.device! + 32, 1, 2);
  ask(TYPE.out, 0, sector(1));
  const operations = [...plain.disk.asked, ...disk.asked].map(([operation]) => operation);
  const { write, writeThrough } = BLOCK_OPERATION;
  assert.deepEqual(operations, [writeThrough, write, writeThrough, writeThrough]);
});

test('failures of the back end are the status', () => {
  const { ask, disk } = start();
  disk.fail(BLOCK_RESULT.failed);
  assert.deepEqual(ask(TYPE.flush, 0, undefined), [1]);
  disk.fail(BLOCK_RESULT.unsupported);
  assert.deepEqual(ask(TYPE.flush, 0, undefined), [2]);
});

test('the serial number is 20 bytes, and one that cannot be is refused', () => {
  const { ask } = start({ more: { serial: 'disk-7' } });
  assert.equal(Buffer.from(ask(TYPE.getId, 0, 20)).toString('latin1'), `disk-7${'\0'.repeat(15)}`);
  assert.equal(ask(TYPE.getId, 0, 4).length, 5);
  const bad = (error: unknown) => error instanceof VirtsError && error.kind === 'usage';
  assert.throws(() => start({ more: { serial: 'x'.repeat(21) } }), bad);
  assert.throws(() => start({ more: { serial: 'ä' } }), bad);
});

test('answers come late and in any order, through several queues', () => {
  const { disk, guest, driver, header } = start({ late: true, features: ALL | BLK_MQ!, more: { queues: 3 } });
  assert.equal(driver.queues.length, 3);
  for (const [i, queue] of driver.queues.entries()) {
    queue.add([header(TYPE.in, i), 512, 1]);
    guest.map.write(driver.notify + i * driver.notifyMultiplier, 2, i);
  }
  disk.bytes.fill(9, 512, 1024);
  assert.equal((guest.memory as FlatMemory).held, 3);
  for (const i of [2, 1]) disk.answer(disk.waiting[i]!);
  guest.device.poll!();
  const collected = driver.queues.map((queue) => queue.collect().map(({ bytes }) => [bytes.length, bytes[0]]));
  assert.deepEqual(collected, [[], [[513, 9]], [[513, 0]]]);
  assert.deepEqual([guest.messages.toSorted(), guest.device.settled!()], [[0x42, 0x43], false]);
});

test('a reset shows when the back end is done with guest memory, and old answers are no answers', () => {
  const { disk, guest, driver, header, queue } = start({ late: true });
  queue.add([header(TYPE.in, 0), 512, 1]);
  queue.notify();
  driver.setStatus(0);
  assert.notEqual(driver.status(), 0);
  disk.answer(disk.waiting[0]!);
  assert.equal(driver.status(), 0);
  guest.memory.bytes.fill(0, 0x1_0000);
  const again = startDriver(guest, { features: ALL, msix: true });
  assert.deepEqual(again.queues[0]!.collect(), []);
  assert.equal((guest.memory as FlatMemory).held, 0);
});

test('requests in flight are done again by a restored device', () => {
  const { disk, guest, queue, header } = start({ late: true });
  queue.add([header(TYPE.out, 2), sector(7), 1]);
  queue.add([header(TYPE.in, 2), 512, 1]);
  queue.notify();
  const saved = saveState(guest.device);
  const elsewhere = fakeDisk();
  const twin = guestWith((options) => make(options, elsewhere));
  twin.memory.bytes.set(guest.memory.bytes);
  restoreState(twin.device, saved);
  assert.deepEqual(elsewhere.asked, [
    [BLOCK_OPERATION.write, 1024, 512],
    [BLOCK_OPERATION.read, 1024, 512],
  ]);
  twin.device.poll!();
  assert.deepEqual([elsewhere.bytes[1024], twin.view.getUint16(queue.used + 2, true)], [7, 2]);
  for (const request of disk.waiting) disk.answer(request);
  guest.device.poll!();
  assert.deepEqual(
    queue.collect().map(({ bytes }) => [bytes.length, bytes[0], bytes.at(-1)]),
    [
      [1, 0, 0],
      [513, 7, 0],
    ],
  );
});

test('more than the link holds waits in the queue, and none is lost', () => {
  const disk = fakeDisk(true);
  const guest = guestWith((options) => make(options, disk));
  const driver = startDriver(guest, { features: ALL | INDIRECT, msix: true, queueSize: 256 });
  const [queue] = driver.queues;
  const pieces = Array.from({ length: 128 }, () => 4);
  for (let i = 0; i < 200; i++) queue!.add([new Uint8Array(16), ...pieces, 1], true);
  queue!.notify();
  assert.ok(disk.asked.length > 10 && disk.asked.length < 200, `${disk.asked.length} fit`);
  for (let rounds = 0; disk.waiting.length > 0; rounds++) {
    assert.ok(rounds < 10);
    for (const request of disk.waiting.splice(0)) disk.answer(request);
    guest.device.poll!();
  }
  assert.deepEqual([disk.asked.length, queue!.collect().length, driver.status()], [200, 200, 15]);
  assert.equal((guest.memory as FlatMemory).held, 0);
});
