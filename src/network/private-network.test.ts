import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeTimers } from '../base/fake-timers.ts';
import { type Frame, NO_OFFLOADS, type Offloads, plainFrame } from '../base/frame.ts';
import { createFakeHost } from './fake-host.test-helper.ts';
import { bytesOf, hear, sumOf, tcpOf } from './nat.test-helper.ts';
import { createPrivateNetwork } from './private-network.ts';
import { adapt } from './segmentation.ts';
import { createSwitch } from './switch.ts';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const macOf = (n: number) => [2, 0, 0, 0, 0, n];
const macText = (n: number) => `02:00:00:00:00:0${n}`;
const frame = (to: readonly number[], from: readonly number[], length = 60) =>
  plainFrame(Uint8Array.from([...to, ...from, 0x88, 0xb5, ...Array(length - 14).fill(0)]));

function plug(fabric: ReturnType<typeof createSwitch>, n: number, bound = true, offloads = NO_OFFLOADS) {
  const got: Frame[] = [];
  const end = { got, room: true };
  const sink = {
    send(one: Frame) {
      if (end.room) got.push(one);
      return end.room;
    },
    offloads: () => offloads,
  };
  const port = fabric.attach({ sink, ...(bound ? { mac: macText(n) } : {}) });
  return Object.assign(end, { port });
}

test('a switch delivers to whom a frame is for, and floods what it does not know', () => {
  const fabric = createSwitch();
  const [one, two, three] = [1, 2, 3].map((n) => plug(fabric, n, n !== 3));
  one!.port.receive(frame(macOf(2), macOf(1)));
  assert.deepEqual(
    [one, two, three].map((end) => end!.got.length),
    [0, 1, 0],
  );
  one!.port.receive(frame(macOf(9), macOf(1)));
  one!.port.receive(frame(BROADCAST, macOf(1)));
  assert.deepEqual(
    [one, two, three].map((end) => end!.got.length),
    [0, 3, 2],
  );
  three!.port.receive(frame(macOf(1), macOf(9)));
  one!.port.receive(frame(macOf(9), macOf(1)));
  assert.deepEqual(
    [one, two, three].map((end) => end!.got.length),
    [1, 3, 3],
    'it learned',
  );
  two!.port.leave();
  one!.port.receive(frame(macOf(2), macOf(1)));
  assert.deepEqual(
    [two, three].map((end) => end!.got.length),
    [3, 4],
  );
});

test('nobody sends as somebody else, and who is slow stops nobody', () => {
  const fabric = createSwitch();
  const [one, two, three] = [1, 2, 3].map((n) => plug(fabric, n, n !== 3));
  one!.port.receive(frame(macOf(2), macOf(3)));
  one!.port.receive(frame(macOf(2), [3, 0, 0, 0, 0, 1]));
  three!.port.receive(frame(macOf(2), macOf(1)));
  assert.deepEqual([two!.got.length, fabric.lost.forged], [0, 3]);
  two!.room = false;
  for (let i = 0; i < 5; i++) one!.port.receive(frame(BROADCAST, macOf(1)));
  assert.deepEqual([two!.got.length, three!.got.length, fabric.lost.full], [0, 5, 5]);
  for (let i = 0; i < 5000; i++) three!.port.receive(frame(macOf(2), [2, 1, 0, 0, i >> 8, i & 255]));
  assert.ok(fabric.learned <= 1024);
});

/** A TCP packet over IPv4 or IPv6 that stands for many segments, as a guest's driver hands it over. */
function large(v6: boolean, payload: number): Frame {
  const word = (value: number) => [(value >> 8) & 255, value & 255];
  const [from, to] = v6 ? [bytesOf('fd00::1'), bytesOf('fd00::2')] : [bytesOf('10.0.2.15'), bytesOf('10.0.2.16')];
  const length = 20 + payload;
  const pseudo = 0xffff - sumOf([...from, ...to, 0, 0, ...word(length), 0, 0, 0, 6]);
  const ip = v6
    ? [0x60, 0, 0, 0, ...word(length), 6, 64, ...from, ...to]
    : [0x45, 0, ...word(20 + length), 0, 7, 0x40, 0, 64, 6, 0, 0, ...from, ...to];
  if (!v6) ip.splice(10, 2, ...word(sumOf(ip)));
  const tcp = [0, 80, 4, 0, 255, 255, 255, 0, 0, 0, 0, 9, 0x50, 0x80 | 0x19, 1, 0, ...word(pseudo), 0, 0];
  const data = Array.from({ length: payload }, (_, i) => (i * 31) & 255);
  const bytes = Uint8Array.from([...macOf(2), ...macOf(1), ...(v6 ? [0x86, 0xdd] : [8, 0]), ...ip, ...tcp, ...data]);
  return { bytes, segmentSize: 1000, checksumStart: v6 ? 54 : 34, checksumOffset: 16 };
}

test('what a sender left to others is done for a receiver that does not do it', () => {
  for (const v6 of [false, true]) {
    const whole = large(v6, 3500);
    const all: Offloads = { checksum: true, segments4: true, segments6: true };
    assert.deepEqual(adapt(whole, all), [whole]);
    for (const offloads of [NO_OFFLOADS, { ...all, segments4: false, segments6: false }]) {
      // `hear` verifies every checksum.
      const pieces = adapt(whole, offloads).map(hear).map(tcpOf);
      assert.deepEqual(
        pieces.map(({ sequence, data, flags }) => [sequence, data.length, flags]),
        [
          [0xffff_ff00, 1000, 0x90],
          [0x0000_02e8, 1000, 0x10],
          [0x0000_06d0, 1000, 0x10],
          [0x0000_0ab8, 500, 0x19],
        ],
      );
      assert.deepEqual(
        pieces.flatMap(({ data }) => data),
        [...whole.bytes.subarray(v6 ? 74 : 54)],
      );
    }
    const single = { ...large(v6, 100), segmentSize: 0 };
    assert.equal(tcpOf(hear(adapt(single, NO_OFFLOADS)[0]!)).data.length, 100);
  }
});

test('segments that no honest sender asks for are lost', () => {
  const whole = large(false, 3500);
  assert.deepEqual(adapt({ ...whole, segmentSize: 1 }, NO_OFFLOADS), []);
  assert.deepEqual(adapt({ ...whole, bytes: whole.bytes.subarray(0, 40) }, NO_OFFLOADS), []);
  assert.deepEqual(adapt({ ...whole, segmentSize: 0, checksumStart: 9000 }, NO_OFFLOADS), []);
});

/** A machine that asks for an address and for names, by frames. */
function machine(network: ReturnType<typeof createPrivateNetwork>, n: number, name: string) {
  const got: Frame[] = [];
  const sink = { send: (one: Frame) => got.push(one) > 0, offloads: () => NO_OFFLOADS };
  const port = network.join({ name, mac: macText(n), sink });
  const router = [0x52, 0x55, 0x0a, 0, 2, 2];
  const word = (value: number) => [value >> 8, value & 255];
  function udp(
    to: readonly number[],
    source: string,
    destination: string,
    ports: [number, number],
    data: readonly number[],
  ) {
    const length = 8 + data.length;
    const ip = [0x45, 0, ...word(20 + length), 0, 1, 0, 0, 64, 17, 0, 0, ...bytesOf(source), ...bytesOf(destination)];
    ip.splice(10, 2, ...word(sumOf(ip)));
    const payload = [...word(ports[0]), ...word(ports[1]), ...word(length), 0, 0, ...data];
    port.receive(plainFrame(Uint8Array.from([...to, ...macOf(n), 8, 0, ...ip, ...payload])));
    port.settle();
  }
  function dhcp(type: number, extra: readonly number[] = []): string {
    const head = [1, 1, 6, 0, 1, 2, 3, n, ...Array(20).fill(0), ...macOf(n)];
    const fixed = [...head, ...Array(236 - head.length).fill(0), 0x63, 0x82, 0x53, 0x63, 53, 1, type, ...extra, 255];
    udp(BROADCAST, '0.0.0.0', '255.255.255.255', [68, 67], fixed);
    return hear(got.at(-1)!)
      .payload.slice(8 + 16, 8 + 20)
      .join('.');
  }
  const offered = dhcp(1);
  const address = dhcp(3, [50, 4, ...bytesOf(offered)]);
  return {
    address,
    port,
    got,
    async lookUp(asked: string): Promise<{ code: number; address: string }> {
      const labels = asked.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
      got.length = 0;
      udp(router, address, '10.0.2.3', [4000, 53], [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
      await new Promise((resolve) => setImmediate(resolve));
      const { payload } = hear(got.at(-1)!);
      return { code: payload[8 + 3]! & 15, address: payload.slice(-4).join('.') };
    },
  };
}

test('machines get addresses and find each other by name', async () => {
  const network = createPrivateNetwork({
    ...{ host: createFakeHost(), timers: fakeTimers(), random: () => {}, access: { kind: 'none' } as const },
    ...{ hostAccess: false, route6: false },
  });
  const web = machine(network, 1, 'web');
  const client = machine(network, 2, 'client');
  assert.notEqual(web.address, client.address);
  assert.deepEqual(await client.lookUp('web'), { code: 0, address: web.address });
  assert.deepEqual(await client.lookUp('WEB.virts.internal'), { code: 0, address: web.address });
  assert.deepEqual(await web.lookUp('client'), { code: 0, address: client.address });
  assert.equal((await web.lookUp('example.com')).code, 5, 'nothing outside');
  assert.throws(
    () => network.join({ name: 'Web', mac: macText(3), sink: { send: () => true, offloads: () => NO_OFFLOADS } }),
    {
      kind: 'usage',
    },
  );
  assert.throws(
    () => network.join({ name: 'gateway', mac: macText(3), sink: { send: () => true, offloads: () => NO_OFFLOADS } }),
    {
      kind: 'usage',
    },
  );
  client.port.leave();
  assert.equal((await web.lookUp('client.virts.internal')).address === client.address, false);
});
