import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../../base/errors.ts';
import { checkDevice, restoreState, saveState } from '../conformance.test-helper.ts';
import { withConfigRegion } from '../pci/pci.test-helper.ts';
import {
  bareOptions,
  type DriverQueue,
  guestWith,
  startDriver,
  VERSION_1,
} from '../virtio/guest-driver.test-helper.ts';
import type { VirtioPciOptions } from '../virtio/pci-transport.ts';
import { createVirtioConsole, type VirtioConsole } from './virtio-console.ts';

const MULTIPORT = 2n;
const text = (value: string) => new TextEncoder().encode(value);

function make(options: VirtioPciOptions, multiport: boolean) {
  const written: string[] = [];
  const ready: number[] = [];
  const backend = (port: number) => ({
    write: (bytes: Uint8Array) => written.push(`${port}:${new TextDecoder().decode(bytes)}`),
    ready: () => ready.push(port),
  });
  const ports = multiport
    ? [{ backend: backend(0) }, { backend: backend(1), name: 'org.virts.agent' }]
    : [{ backend: backend(0) }];
  return { console: createVirtioConsole({ ...options, ports, columns: 80, rows: 25 }), written, ready };
}

checkDevice('virtio-console', (timers, place) =>
  withConfigRegion(make(bareOptions(timers, place), false).console.device),
);
checkDevice('virtio-console, ports', (timers, place) =>
  withConfigRegion(make(bareOptions(timers, place), true).console.device),
);

function start(multiport: boolean, features = VERSION_1) {
  let made: ReturnType<typeof make> | undefined;
  const guest = guestWith((options) => {
    made = make(options, multiport);
    return made.console.device;
  });
  return { guest, ...made!, driver: startDriver(guest, { features, msix: true }) };
}

/** A control message as bytes. */
function control(port: number, event: number, value: number): Uint8Array {
  return Uint8Array.of(port, 0, 0, 0, event, 0, value, 0);
}

function send(queue: DriverQueue, bytes: Uint8Array): void {
  queue.add([bytes]);
  queue.notify();
  queue.collect();
}

/** Events the device sent, as `port:event:value` and what follows. */
function events(queue: DriverQueue): string[] {
  return queue.collect().map(({ bytes }) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const head = `${view.getUint32(0, true)}:${view.getUint16(4, true)}:${view.getUint16(6, true)}`;
    if (view.getUint16(4, true) === 5) return `${head}:${view.getUint16(8, true)}x${view.getUint16(10, true)}`;
    return bytes.length > 8 ? `${head}:${new TextDecoder().decode(bytes.subarray(8))}` : head;
  });
}

/** Brings the control channel up: buffers, DEVICE_READY, PORT_READY and PORT_OPEN for each port. */
function openPorts({ driver }: ReturnType<typeof start>): string[] {
  const [, , toDriver, fromDriver] = driver.queues;
  const offer = () => {
    for (let i = 0; i < 4; i++) toDriver!.add([64]);
    toDriver!.notify();
  };
  offer();
  send(fromDriver!, control(0, 0, 1));
  const seen = events(toDriver!);
  for (const port of [0, 1]) {
    send(fromDriver!, control(port, 3, 1));
    offer();
    send(fromDriver!, control(port, 6, 1));
    seen.push(...events(toDriver!));
  }
  return seen;
}

test('one port: output goes to the back end in order', () => {
  const { driver, written, guest } = start(false);
  assert.equal(guest.config(0, 4), 0x1043_1af4);
  assert.equal(driver.queues.length, 2);
  driver.queues[1]!.add([text('hel'), text('lo')]);
  driver.queues[1]!.add([text('!')]);
  driver.queues[1]!.notify();
  assert.deepEqual(written, ['0:hello', '0:!']);
  assert.equal(driver.queues[1]!.collect().length, 2);
});

test('one port: input fills the buffers there are; the rest is told to wait until there are more', () => {
  const { driver, console, ready } = start(false);
  const [queue] = driver.queues;
  assert.equal(console.ports[0]!.receive(text('abc')), 0);
  queue!.add([2]);
  queue!.add([4]);
  queue!.notify();
  assert.deepEqual(ready, [0, 0], 'when the driver was up, and when it gave buffers');
  assert.equal(console.ports[0]!.receive(text('abcdefghi')), 6);
  assert.deepEqual(
    queue!.collect().map(({ bytes }) => new TextDecoder().decode(bytes)),
    ['ab', 'cdef'],
  );
  queue!.add([16]);
  assert.equal(console.ports[0]!.receive(text('xy')), 2);
  assert.deepEqual(queue!.collect()[0]?.bytes, text('xy'));
});

test('the size is in the configuration structure, and a change is told', () => {
  const { driver, console, guest } = start(false);
  assert.equal(guest.map.read(driver.device!, 4), 80 | (25 << 16));
  console.resize(132, 43);
  assert.equal(guest.map.read(driver.device!, 4), 132 | (43 << 16));
  assert.deepEqual(guest.messages, [0x40]);
});

test('a byte can be written without queues', () => {
  const { driver, guest, written } = start(false);
  guest.map.write(driver.device! + 8, 4, 0x41);
  assert.deepEqual(written, ['0:A']);
});

test('ports are announced, introduced when the driver is ready, and carry data of their own', () => {
  const rig = start(true, VERSION_1 | MULTIPORT);
  const { driver, console, written, ready } = rig;
  assert.equal(driver.queues.length, 6);
  assert.deepEqual(openPorts(rig), [
    '0:1:0',
    '1:1:0',
    ...['0:4:1', '0:5:0:80x25', '0:6:1'],
    ...['1:7:1:org.virts.agent', '1:6:1'],
  ]);
  assert.ok(ready.includes(0) && ready.includes(1));
  driver.queues[5]!.add([text('agent')]);
  driver.queues[5]!.notify();
  driver.queues[1]!.add([text('shell')]);
  driver.queues[1]!.notify();
  assert.deepEqual(written, ['1:agent', '0:shell']);
  driver.queues[4]!.add([8]);
  assert.equal(console.ports[1]!.receive(text('hi')), 2);
  assert.deepEqual(driver.queues[4]!.collect()[0]?.bytes, text('hi'));
});

test('a closed port takes no input', () => {
  const rig = start(true, VERSION_1 | MULTIPORT);
  const { driver, console } = rig;
  driver.queues[0]!.add([8]);
  assert.equal(console.ports[0]!.receive(text('hi')), 0);
  openPorts(rig);
  assert.equal(console.ports[0]!.receive(text('hi')), 2);
  send(driver.queues[3]!, control(0, 6, 0));
  driver.queues[0]!.add([8]);
  assert.equal(console.ports[0]!.receive(text('hi')), 0);
});

test('control messages that wait for buffers survive a save', () => {
  const rig = start(true, VERSION_1 | MULTIPORT);
  const { driver, console } = rig;
  send(driver.queues[3]!, control(0, 0, 1));
  const saved = saveState(console.device);
  const memory = rig.guest.memory.bytes.slice();
  driver.queues[2]!.add([64]);
  driver.queues[2]!.notify();
  rig.guest.memory.bytes.set(memory);
  restoreState(console.device, saved);
  driver.queues[2]!.notify();
  for (let i = 0; i < 3; i++) console.resize(100, 30);
  const fresh = start(true, VERSION_1 | MULTIPORT);
  fresh.guest.memory.bytes.set(memory);
  restoreState((fresh.console as VirtioConsole).device, saved);
  for (let i = 0; i < 3; i++) fresh.driver.queues[2]!.add([64]);
  fresh.driver.queues[2]!.notify();
  assert.deepEqual(events(fresh.driver.queues[2]!), ['0:1:0', '1:1:0']);
});

test('without the multiport feature a console of many ports is one of port 0', () => {
  const { driver, console, written } = start(true);
  driver.queues[1]!.add([text('x')]);
  driver.queues[1]!.notify();
  driver.queues[0]!.add([8]);
  assert.equal(console.ports[0]!.receive(text('hi')), 2);
  assert.equal(console.ports[1]!.receive(text('hi')), 0);
  assert.deepEqual(written, ['0:x']);
});

test('malformed control messages are ignored', () => {
  const rig = start(true, VERSION_1 | MULTIPORT);
  for (const message of [Uint8Array.of(1, 2), control(99, 3, 1), control(255, 6, 1), control(0, 200, 1)]) {
    send(rig.driver.queues[3]!, message);
  }
  assert.equal(rig.driver.status(), 15);
});

test('ports that cannot be are refused', () => {
  const backend = { write() {} };
  const options = bareOptions({ now: () => 0, timer: () => ({ arm() {}, cancel() {} }) });
  for (const ports of [[], Array(17).fill({ backend }), [{ backend, name: 'a b' }]]) {
    assert.throws(
      () => createVirtioConsole({ ...options, ports }),
      (error) => error instanceof VirtsError && error.kind === 'usage',
    );
  }
});
