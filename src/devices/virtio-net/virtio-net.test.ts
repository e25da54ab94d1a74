import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, NO_OFFLOADS, plainFrame } from '../../base/frame.ts';
import { checkDevice } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import { bareOptions, EVENT_IDX, guestWith, startDriver, VERSION_1 } from '../virtio/guest-driver.test-helper.ts';
import type { VirtioPciOptions } from '../virtio/pci-transport.ts';
import { FEATURE } from './header.ts';
import { createVirtioNet, type VirtioNet } from './virtio-net.ts';
import { createFakeWire } from './wire.test-helper.ts';

const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const bits = (...numbers: number[]) => numbers.reduce((sum, bit) => sum | (1n << BigInt(bit)), VERSION_1);
const OFFLOADS = bits(
  ...[FEATURE.checksum, FEATURE.guestChecksum, FEATURE.guestSegments4, FEATURE.guestSegments6],
  ...[FEATURE.hostSegments4, FEATURE.hostSegments6, FEATURE.mergeable],
);

checkDevice('virtio-net', (timers, place) => {
  const port = createFakeWire();
  return withConfigRegion(createVirtioNet({ ...bareOptions(timers, place), port, mac: MAC, mtu: 1500 }).device);
});

function start(features: bigint = VERSION_1) {
  const wire = createFakeWire();
  let net: VirtioNet | undefined;
  const guest = guestWith((options: VirtioPciOptions) => {
    net = createVirtioNet({ ...options, port: wire, mac: MAC, mtu: 1500 });
    return net.device;
  });
  const driver = startDriver(guest, { features, msix: true });
  const [receive, transmit, control] = driver.queues;
  return {
    ...{ wire, guest, driver, net: net!, sent: wire.sent },
    ...{ receive: receive!, transmit: transmit!, control: control! },
    /** Sends a frame to the guest; whether the device took it off the wire. */
    give(frame: Frame): boolean {
      wire.incoming.push(frame);
      net!.device.poll!();
      return wire.incoming.length === 0;
    },
  };
}

const frame = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7) & 255);
const header = (...bytes: number[]) => Uint8Array.from({ length: 12 }, (_, i) => bytes[i] ?? 0);

test('it is a network card with a MAC address, a link and an MTU', () => {
  const { guest, driver } = start();
  assert.equal(guest.config(0, 4), 0x1041_1af4);
  assert.equal(driver.queues.length, 3);
  assert.deepEqual(
    Array.from({ length: 12 }, (_, i) => guest.map.read(driver.device! + i, 1)),
    [...MAC, 1, 0, 0, 0, 0xdc, 5],
  );
});

test('frames go out, whatever pieces they come in; what is no frame is lost', () => {
  const { transmit, sent, guest } = start();
  transmit.add([header(), frame(60)]);
  transmit.add([Uint8Array.from([...header(), ...frame(60)])]);
  transmit.add([header().subarray(0, 5), Uint8Array.from([...header().subarray(5), ...frame(20)]), frame(40)]);
  transmit.notify();
  assert.equal(transmit.collect().length, 3);
  transmit.add([header(), frame(13)]);
  transmit.add([header().subarray(0, 11)]);
  transmit.add([header(1, 0, 0, 0, 0, 0, 14), frame(60)]);
  transmit.add([header(0, 1, 0, 0, 10), frame(60)]);
  transmit.notify();
  assert.equal(transmit.collect().length, 4);
  assert.deepEqual(
    sent.map(({ bytes }) => bytes),
    [frame(60), frame(60), Uint8Array.from([...frame(20), ...frame(40)])],
  );
  assert.equal(guest.log.length, 4);
});

test('a back end without room gets the frame again', () => {
  const rig = start(VERSION_1 | EVENT_IDX);
  rig.wire.full = true;
  rig.transmit.add([header(), frame(60)]);
  rig.transmit.add([header(), frame(61)]);
  rig.transmit.notify();
  assert.equal(rig.transmit.collect().length, 0);
  rig.wire.full = false;
  rig.net.device.poll!();
  assert.deepEqual(
    rig.sent.map(({ bytes }) => bytes.length),
    [60, 61],
  );
  assert.equal(rig.transmit.collect().length, 2);
});

test('what the driver leaves to the device is passed on', () => {
  const { transmit, sent } = start(OFFLOADS);
  transmit.add([header(1, 0, 0, 0, 0, 0, 34, 0, 16), frame(100)]);
  transmit.add([header(1, 1, 54, 0, 0xb4, 1, 34, 0, 16), frame(900)]);
  transmit.add([header(1, 0, 0, 0, 0, 0, 90, 0, 16), frame(100)]);
  transmit.notify();
  assert.deepEqual(
    sent.map(({ checksumStart, checksumOffset, segmentSize }) => [checksumStart, checksumOffset, segmentSize]),
    [
      [34, 16, 0],
      [34, 16, 436],
    ],
  );
});

test('a frame goes into one buffer, or is lost in one that is too small', () => {
  const rig = start();
  assert.equal(rig.give(plainFrame(frame(60))), false, 'there are no buffers');
  rig.receive.add([12, 100]);
  rig.receive.notify();
  const [got] = rig.receive.collect();
  assert.deepEqual(got!.bytes, Uint8Array.from([...header(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), ...frame(60)]));
  assert.equal(rig.guest.messages.filter((vector) => vector === 0x41).length, 1);
  rig.receive.add([12, 100]);
  assert.equal(rig.give(plainFrame(frame(200))), true);
  assert.equal(rig.receive.collect().length, 0);
  assert.equal(rig.give(plainFrame(frame(61))), true);
  assert.equal(rig.receive.collect()[0]!.bytes.length, 73);
});

test('a large frame fills as many buffers as it takes, all of them or none', () => {
  const { give, receive } = start(OFFLOADS);
  const large: Frame = { bytes: frame(3000), segmentSize: 1460, checksumStart: 34, checksumOffset: 16 };
  for (let i = 0; i < 4; i++) receive.add([700]);
  assert.equal(give(large), false);
  receive.add([700]);
  receive.notify();
  const pieces = receive.collect();
  assert.equal(pieces.length, 5);
  const whole = pieces.flatMap(({ bytes }) => [...bytes]);
  assert.deepEqual(whole.slice(0, 2), [1, 1]);
  assert.deepEqual(whole.slice(4, 12), [0xb4, 5, 34, 0, 16, 0, 5, 0]);
  assert.deepEqual(Uint8Array.from(whole.slice(12)), frame(3000));
});

test('a buffer may end within the header', () => {
  const { give, receive } = start(OFFLOADS);
  receive.add([5]);
  receive.add([9]);
  receive.add([100]);
  assert.equal(give(plainFrame(frame(60))), true);
  const whole = receive.collect().flatMap(({ bytes }) => [...bytes]);
  assert.deepEqual(Uint8Array.from(whole.slice(12)), frame(60));
});

test('offloads are what the driver accepted, and what it switches on and off', () => {
  assert.deepEqual(start().wire.offloads, NO_OFFLOADS);
  const { wire, give, control, receive } = start(OFFLOADS | bits(FEATURE.control, FEATURE.controlOffloads));
  assert.deepEqual(wire.offloads, { checksum: true, segments4: true, segments6: true });
  const order = (...bytes: number[]) => {
    control.add([Uint8Array.from([5, 0]), Uint8Array.from({ length: 8 }, (_, i) => bytes[i] ?? 0), 1]);
    control.notify();
    return control.collect().at(-1)!.bytes[0];
  };
  assert.equal(order(0x02, 0x01), 0);
  assert.deepEqual(wire.offloads, { checksum: true, segments4: false, segments6: true });
  receive.add([1000]);
  const segments = { bytes: frame(900), segmentSize: 460, checksumStart: 34, checksumOffset: 16 };
  assert.equal(give(segments), true, 'it is lost');
  assert.equal(receive.collect().length, 0);
  assert.equal(order(0x00, 0x08), 1, 'what was not offered');
  assert.equal(order(0, 0, 0, 0, 1), 1);
  assert.equal(order(), 0);
  assert.deepEqual(wire.offloads, NO_OFFLOADS);
});

test('receive modes are accepted, unknown commands are not', () => {
  const { control } = start(VERSION_1 | bits(FEATURE.control, FEATURE.controlReceive));
  for (const [command, answer] of [
    [[0, 0, 1], 0],
    [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0],
    [[1, 1, 1, 2, 3, 4, 5, 6], 1],
    [[9, 9], 1],
    [[0], 1],
  ] as const) {
    control.add([Uint8Array.from(command), 1]);
    control.notify();
    assert.equal(control.collect()[0]!.bytes[0], answer, `${command}`);
  }
});

test('a pulled cable is told; nothing passes', () => {
  const { net, give, guest, driver, transmit, sent } = start();
  guest.messages.length = 0;
  net.setLink(false);
  assert.deepEqual(guest.messages, [0x40]);
  assert.equal(guest.map.read(driver.device! + 6, 2), 0);
  transmit.add([header(), frame(60)]);
  transmit.notify();
  assert.equal(transmit.collect().length, 1);
  assert.equal(give(plainFrame(frame(60))), true);
  assert.equal(sent.length, 0);
  net.setLink(true);
  assert.equal(guest.map.read(driver.device! + 6, 2), 1);
});
