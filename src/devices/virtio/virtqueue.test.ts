import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEcho, type Echo } from './echo.test-helper.ts';
import { type Guest, guestWith, INDIRECT, startDriver, VERSION_1 } from './guest-driver.test-helper.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT_FLAG = 4;
const TABLE = 0x8_0000;
const BUFFER = 0x9_0000;

type Descriptor = readonly [address: number, length: number, flags: number, next?: number];

function setUp(late = false) {
  let echo: Echo | undefined;
  const guest = guestWith((options) => {
    echo = createEcho(options, late, 4096);
    return echo.device;
  });
  const driver = startDriver(guest, { features: VERSION_1 | INDIRECT, msix: true });
  return { guest, echo: echo!, driver, queue: driver.queues[0]! };
}

function describe(guest: Guest, table: number, descriptors: readonly Descriptor[]): void {
  for (const [i, [address, length, flags, next = i + 1]] of descriptors.entries()) {
    guest.view.setBigUint64(table + 16 * i, BigInt(address), true);
    guest.view.setUint32(table + 16 * i + 8, length, true);
    guest.view.setUint16(table + 16 * i + 12, flags, true);
    guest.view.setUint16(table + 16 * i + 14, next, true);
  }
}

/** Offers the chain at descriptor 0 and says what became of it. */
function offer(descriptors: readonly Descriptor[], indirect: readonly Descriptor[] = [], head = 0) {
  const { guest, driver, queue } = setUp();
  describe(guest, queue.descriptors, descriptors);
  describe(guest, TABLE, indirect);
  guest.view.setUint16(queue.available + 4, head, true);
  guest.view.setUint16(queue.available + 2, 1, true);
  queue.notify();
  const used = guest.view.getUint16(queue.used + 2, true);
  return { broken: (driver.status() & 64) !== 0, used, messages: guest.messages, log: guest.log };
}

const GOOD: Descriptor[] = [
  [BUFFER, 4, NEXT],
  [BUFFER + 16, 4, WRITE],
];

test('well-formed chains are answered', () => {
  assert.deepEqual(offer(GOOD), { broken: false, used: 1, messages: [0x41], log: [] });
  assert.equal(offer([[TABLE, 32, INDIRECT_FLAG]], GOOD).used, 1);
  assert.equal(offer([[TABLE, 32, INDIRECT_FLAG | WRITE]], GOOD).used, 1, 'WRITE means nothing on an indirect one');
  assert.equal(
    offer(
      [
        [BUFFER, 4, NEXT],
        [TABLE, 32, INDIRECT_FLAG],
      ],
      GOOD,
    ).used,
    1,
    'after direct ones',
  );
  assert.equal(offer([[BUFFER, 4, 0]]).used, 1, 'nothing to write');
});

const MALFORMED: Record<string, [Descriptor[], Descriptor[]?, number?]> = {
  'a head past the table': [GOOD, [], 16],
  'a successor past the table': [[[BUFFER, 4, NEXT, 16]]],
  'a loop of one': [[[BUFFER, 4, NEXT, 0]]],
  'a loop of two': [
    [
      [BUFFER, 4, NEXT, 1],
      [BUFFER, 4, NEXT, 0],
    ],
  ],
  'a zero length': [[[BUFFER, 0, 0]]],
  'a buffer outside RAM': [[[0x4000_0000, 4, NEXT], GOOD[1]!]],
  'a buffer that leaves RAM': [[[0xf_fffe, 4, NEXT], GOOD[1]!]],
  'a written buffer outside RAM': [[GOOD[0]!, [0x4000_0000, 4, WRITE]]],
  'an address near 2^64': [[[2 ** 64 - 4096, 4, NEXT], GOOD[1]!]],
  'readable after writable': [
    [
      [BUFFER, 4, WRITE | NEXT],
      [BUFFER, 4, 0],
    ],
  ],
  'too many bytes': [[[BUFFER, 4097, 0]]],
  'too many bytes in all': [
    [
      [BUFFER, 4000, NEXT],
      [BUFFER, 0xffff_ffff, WRITE],
    ],
  ],
  'an indirect table in an indirect table': [[[TABLE, 16, INDIRECT_FLAG]], [[TABLE, 16, INDIRECT_FLAG]]],
  'an indirect descriptor with a successor': [[[TABLE, 32, INDIRECT_FLAG | NEXT], GOOD[1]!], GOOD],
  'an indirect table of no entries': [[[TABLE, 0, INDIRECT_FLAG]], GOOD],
  'an indirect table of odd length': [[[TABLE, 24, INDIRECT_FLAG]], GOOD],
  'a huge indirect table': [[[TABLE, 0xffff_fff0, INDIRECT_FLAG]], GOOD],
  'an indirect table outside RAM': [[[0x4000_0000, 32, INDIRECT_FLAG]]],
  'an indirect successor past its table': [[[TABLE, 16, INDIRECT_FLAG]], GOOD],
  'a loop in an indirect table': [[[TABLE, 16, INDIRECT_FLAG]], [[BUFFER, 1, NEXT, 0]]],
};

for (const [what, [descriptors, indirect, head]] of Object.entries(MALFORMED)) {
  test(`${what} needs a reset, told by a configuration interrupt and logged once`, () => {
    const { broken, used, messages, log } = offer(descriptors, indirect, head);
    assert.deepEqual({ broken, used, messages }, { broken: true, used: 0, messages: [0x40] });
    assert.equal(log.length, 1);
  });
}

test('a jumping available index and rings outside RAM need a reset', () => {
  const jump = setUp();
  jump.guest.view.setUint16(jump.queue.available + 2, 17, true);
  jump.queue.notify();
  assert.equal(jump.driver.status() & 64, 64);

  for (const register of [0x20, 0x28, 0x30]) {
    const { guest, driver, queue } = setUp();
    const { map } = guest;
    driver.setStatus(0);
    for (const status of [1, 3]) driver.setStatus(status);
    map.write(driver.common + 8, 4, 1);
    map.write(driver.common + 12, 4, 1);
    driver.setStatus(11);
    describe(guest, queue.descriptors, GOOD);
    guest.view.setUint16(queue.available + 4, 0, true);
    guest.view.setUint16(queue.available + 2, 1, true);
    for (const [at, address] of [
      [0x20, queue.descriptors],
      [0x28, queue.available],
      [0x30, queue.used],
    ] as const) {
      map.write(driver.common + at, 4, address);
      map.write(driver.common + at + 4, 4, at === register ? 0xffff_ffff : 0);
    }
    map.write(driver.common + 0x1c, 2, 1);
    driver.setStatus(15);
    assert.equal(driver.status(), 15 | 64, `register ${register}`);
  }
});

test('a chain that is in flight cannot be offered again', () => {
  const { guest, driver, queue, echo } = setUp(true);
  describe(guest, queue.descriptors, GOOD);
  guest.view.setUint32(queue.available + 4, 0, true);
  guest.view.setUint16(queue.available + 2, 2, true);
  queue.notify();
  assert.equal(echo.waiting.length, 1);
  assert.equal(driver.status() & 64, 64);
});

test('after a fault nothing moves until a reset, and repeating it logs nothing new', () => {
  const { guest, driver, queue } = setUp();
  for (let round = 0; round < 3; round++) {
    guest.memory.bytes.fill(0);
    const again = round === 0 ? driver : startDriver(guest, { features: VERSION_1, msix: true });
    describe(guest, queue.descriptors, [[BUFFER, 0, 0]]);
    guest.view.setUint16(queue.available + 4, 0, true);
    guest.view.setUint16(queue.available + 2, 1, true);
    again.queues[0]!.notify();
    assert.equal(again.status(), 15 | 64);
    describe(guest, queue.descriptors, GOOD);
    again.queues[0]!.notify();
    assert.equal(guest.view.getUint16(queue.used + 2, true), 0);
    again.setStatus(15);
    assert.equal(again.status(), 15 | 64, 'only a reset clears it');
  }
  assert.equal(guest.log.length, 1);
});

test('misaligned rings are refused', () => {
  const { guest, driver } = setUp();
  driver.setStatus(0);
  guest.map.write(driver.common + 0x28, 4, 0x1001);
  guest.map.write(driver.common + 0x1c, 2, 1);
  assert.equal(driver.status(), 64);
});

test('a request that was put back is the next one taken', () => {
  const { guest, queue, echo } = setUp(true);
  queue.add([Uint8Array.of(1), 1]);
  queue.add([Uint8Array.of(2), 1]);
  queue.notify();
  const ring = echo.port.queues[0]!;
  const last = echo.waiting.pop()!.request;
  ring.putBack(last);
  ring.putBack(last);
  assert.deepEqual(ring.pop()?.read(0, 1), Uint8Array.of(2));
  assert.equal(ring.pop(), undefined);
  assert.equal(last.read(0, 1), undefined, 'it is no longer the caller’s');
  assert.deepEqual(guest.messages, []);
});

test('reads and writes stay within the request', () => {
  const { queue, echo } = setUp(true);
  queue.add([Uint8Array.of(1, 2), Uint8Array.of(3), 2, 2]);
  queue.notify();
  const { request } = echo.waiting[0]!;
  assert.deepEqual(request.read(1, 2), Uint8Array.of(2, 3));
  assert.equal(request.read(2, 2), undefined);
  assert.equal(request.read(-1, 2), undefined);
  assert.equal(request.write(3, Uint8Array.of(1, 2)), false);
  assert.equal(request.write(1, Uint8Array.of(7, 8, 9)), true);
  echo.port.queues[0]!.complete(request, 99);
  assert.deepEqual([...queue.collect()[0]!.bytes.subarray(1)], [7, 8, 9], 'the length is cut to the buffer’s');
});
