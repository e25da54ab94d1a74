import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OPERATION, type VsockPacket } from '../../base/vsock-packet.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { bareOptions, guestWith, startDriver, VERSION_1 } from '../virtio/guest-driver.test-helper.ts';
import type { VirtioPciOptions } from '../virtio/pci-transport.ts';
import { createFakePort } from './port.test-helper.ts';
import { createVirtioVsock } from './virtio-vsock.ts';

const CID = 3;

checkDevice('virtio-vsock', (timers, place) =>
  withConfigRegion(createVirtioVsock({ ...bareOptions(timers, place), port: createFakePort(), cid: CID })),
);

function start() {
  const port = createFakePort();
  const guest = guestWith((options: VirtioPciOptions) => createVirtioVsock({ ...options, port, cid: CID }));
  const driver = startDriver(guest, { features: VERSION_1 | 1n, msix: true });
  const [receive, transmit, event] = driver.queues;
  return {
    ...{ port, guest, driver, receive: receive!, transmit: transmit!, event: event! },
    give(packet: VsockPacket): void {
      port.incoming.push(packet);
      guest.device.poll!();
    },
  };
}

interface HeaderFields {
  readonly [name: string]: number | undefined;
}

/** A header as the standard lays it out (5.10.6). */
function header(fields: HeaderFields): Uint8Array {
  const view = new DataView(new ArrayBuffer(44));
  view.setBigUint64(0, BigInt(fields.from ?? CID), true);
  view.setBigUint64(8, BigInt(fields.to ?? 2), true);
  view.setUint32(16, fields.fromPort ?? 0, true);
  view.setUint32(20, fields.toPort ?? 0, true);
  view.setUint32(24, fields.length ?? 0, true);
  view.setUint16(28, fields.type ?? 1, true);
  view.setUint16(30, fields.operation ?? 0, true);
  view.setUint32(32, fields.flags ?? 0, true);
  view.setUint32(36, fields.window ?? 0, true);
  view.setUint32(40, fields.consumed ?? 0, true);
  return new Uint8Array(view.buffer);
}

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7) & 255);
const data = (length: number): VsockPacket => ({
  ...{ operation: OPERATION.data, hostPort: 9, guestPort: 7, flags: 0, window: 1000, consumed: 5 },
  bytes: bytes(length),
});

test('it is a socket device with a context ID and three queues', () => {
  const { guest, driver } = start();
  assert.equal(guest.config(0, 4), 0x1053_1af4);
  assert.equal(driver.queues.length, 3);
  assert.equal(guest.map.read(driver.device!, 4), CID);
  assert.equal(guest.map.read(driver.device! + 4, 4), 0);
});

test('a context ID of somebody else is refused', () => {
  for (const cid of [2, 0, 0xffff_ffff, 3.5]) {
    assert.throws(
      () => guestWith((options) => createVirtioVsock({ ...options, port: createFakePort(), cid })),
      /context ID/,
    );
  }
});

test('packets of the guest go out, whatever pieces they come in', () => {
  const { transmit, port } = start();
  const head = header({ fromPort: 7, toPort: 9, length: 30, operation: 5, flags: 4, window: 77, consumed: 88 });
  transmit.add([head, bytes(30)]);
  transmit.add([Uint8Array.of(...head, ...bytes(10)), bytes(30).subarray(10)]);
  transmit.add([head.subarray(0, 5), Uint8Array.of(...head.subarray(5), ...bytes(30)), bytes(9)]);
  transmit.add([header({ fromPort: 7, toPort: 9, operation: 1 })]);
  transmit.notify();
  assert.equal(transmit.collect().length, 4);
  const expected = { operation: 5, hostPort: 9, guestPort: 7, length: 30, flags: 4, window: 77, consumed: 88 };
  for (const packet of port.sent.slice(0, 3)) assert.deepEqual(packet, { ...expected, bytes: bytes(30) });
  assert.equal(port.sent[3]!.operation, OPERATION.request);
});

test('what is malformed is told as such; what is not for the host is lost', () => {
  const { transmit, port, guest } = start();
  for (const fields of [
    { operation: 5, length: 31 },
    { operation: 5, length: 0xffff_ffff },
    { operation: 5, type: 2 },
    { operation: 0 },
    { operation: 8 },
  ]) {
    transmit.add([header({ fromPort: 7, toPort: 9, ...fields }), bytes(30)]);
    transmit.notify();
    const packet = port.sent.pop()!;
    assert.deepEqual([packet.operation, packet.hostPort, packet.guestPort, packet.bytes.length], [0, 9, 7, 0]);
  }
  for (const fields of [{ from: 4 }, { to: 1 }, { to: 2 ** 32 + 2 }, { from: 2 ** 40 + 3 }]) {
    transmit.add([header({ operation: 1, ...fields })]);
  }
  transmit.add([header({ operation: 1 }).subarray(0, 43)]);
  transmit.notify();
  assert.equal(port.sent.length, 0);
  assert.equal(transmit.collect().length, 10);
  assert.equal(guest.log.length, 1);
});

test('a port without room gets the packet again', () => {
  const { transmit, port, guest } = start();
  port.full = true;
  transmit.add([header({ operation: 1, fromPort: 1 })]);
  transmit.add([header({ operation: 1, fromPort: 2 })]);
  transmit.notify();
  assert.equal(transmit.collect().length, 0);
  port.full = false;
  guest.device.poll!();
  assert.deepEqual(
    port.sent.map(({ guestPort }) => guestPort),
    [1, 2],
  );
  assert.equal(transmit.collect().length, 2);
});

test('a packet for the guest waits for a buffer', () => {
  const { give, receive, port, guest } = start();
  give(data(30));
  assert.equal(port.incoming.length, 1);
  receive.add([44, 4096]);
  receive.notify();
  const [got] = receive.collect();
  const head = header({
    from: 2,
    to: CID,
    fromPort: 9,
    toPort: 7,
    length: 30,
    operation: 5,
    window: 1000,
    consumed: 5,
  });
  assert.deepEqual(got!.bytes, Uint8Array.of(...head, ...bytes(30)));
  assert.equal(guest.messages.filter((vector) => vector === 0x41).length, 1);
});

test('one that is longer than the buffers goes in parts, in order', () => {
  const { give, receive } = start();
  receive.add([144]);
  give(data(250));
  give(data(3));
  for (let i = 0; i < 4; i++) receive.add([44, 100]);
  receive.notify();
  const parts = receive.collect();
  assert.deepEqual(
    parts.map(({ bytes: part }) => new DataView(part.buffer).getUint32(24, true)),
    [100, 100, 50, 3],
  );
  assert.deepEqual(
    parts.slice(0, 3).flatMap(({ bytes: part }) => [...part.subarray(44)]),
    [...bytes(250)],
  );
});

test('a buffer without room for anything needs a reset', () => {
  const { give, receive, driver } = start();
  receive.add([44]);
  give(data(1));
  assert.equal(driver.status() & 0x40, 0x40);
});

test('after a restore the driver is told that its connections are gone, and so is the other end', () => {
  const { guest, port, event, give, receive } = start();
  receive.add([144]);
  give(data(250));
  give(data(3));
  const { restarts } = port;
  restoreState(guest.device, saveState(guest.device));
  assert.equal(port.restarts, restarts + 1);
  assert.equal(port.incoming.length, 0);
  guest.device.poll!();
  event.add([8]);
  event.add([8]);
  event.notify();
  assert.deepEqual(
    event.collect().map(({ bytes: told }) => [...told]),
    [[0, 0, 0, 0]],
  );
  receive.add([144]);
  receive.notify();
  assert.equal(receive.collect().length, 1, 'the rest of the packet went with its connection');
});

test('a reset by the driver is told to the other end', () => {
  const { port, driver, give } = start();
  const { restarts } = port;
  give(data(3));
  driver.setStatus(0);
  assert.equal(port.restarts, restarts + 1);
  assert.equal(port.incoming.length, 0);
});
