/** Machines with a router each on one switch: who gets which frame, and who may speak for the router. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeTimers } from '../base/fake-timers.ts';
import { type Frame, NO_OFFLOADS, plainFrame } from '../base/frame.ts';
import { parseMac } from './address.ts';
import { LAN } from './addresses.ts';
import { createFakeHost } from './fake-host.test-helper.ts';
import { createJunction } from './junction.ts';
import { bytesOf, hear, ROUTER_MAC, soon, sumOf } from './nat.test-helper.ts';
import { createNat } from './nat.ts';
import { createSwitch } from './switch.ts';

const BROADCAST = [255, 255, 255, 255, 255, 255];
const macOf = (n: number) => [2, 0, 0, 0, 0, n];
const macText = (n: number) => `02:00:00:00:00:0${n}`;
const word = (value: number) => [value >> 8, value & 255];
const addressOf = (n: number) => `10.0.2.${20 + n}`;

interface Station {
  readonly n: number;
  /** Frames that its card was given since the last call. */
  got(): Frame[];
  give(...bytes: (readonly number[])[]): void;
  leave(): void;
}

/** Machines of one network, by number and name. */
function network(names: Readonly<Record<number, string>>): Station[] {
  const fabric = createSwitch();
  return Object.keys(names).map((key) => {
    const n = Number(key);
    let frames: Frame[] = [];
    const wire = { send: (frame: Frame) => frames.push(frame) > 0, offloads: () => NO_OFFLOADS };
    const addresses = { ...LAN, pool: [addressOf(n)] };
    const router = createNat({
      ...{ wire, addresses, host: createFakeHost(), timers: fakeTimers(), random: () => {}, name: names[n] },
      ...{ access: { kind: 'none' } as const, hostAccess: false, route6: false },
      peer(name) {
        const found = Object.entries(names).find(([, other]) => other === name);
        return found && [addressOf(Number(found[0]))];
      },
    });
    const junction = createJunction({
      ...{ wire, router, addresses },
      plug: (sink) => fabric.attach({ sink, mac: macText(n) }),
    });
    return {
      n,
      got() {
        const taken = frames;
        frames = [];
        return taken;
      },
      give(...all) {
        for (const bytes of all) junction.receive(plainFrame(Uint8Array.from(bytes)));
        junction.settle();
      },
      leave: junction.leave,
    };
  });
}

interface Udp {
  readonly to: readonly number[];
  readonly from: readonly number[];
  readonly source: string;
  readonly destination: string;
  readonly ports: readonly [number, number];
  readonly data: readonly number[];
}

function udp({ to, from, source, destination, ports, data }: Udp): number[] {
  const length = 8 + data.length;
  const ip = [0x45, 0, ...word(20 + length), 0, 1, 0, 0, 64, 17, 0, 0, ...bytesOf(source), ...bytesOf(destination)];
  ip.splice(10, 2, ...word(sumOf(ip)));
  return [...to, ...from, 8, 0, ...ip, ...word(ports[0]), ...word(ports[1]), ...word(length), 0, 0, ...data];
}

/** A DHCP message of a client: its type, and the address that it wants. */
function dhcp({ n }: Station, type: number, wanted?: string): number[] {
  const head = [1, 1, 6, 0, 1, 2, 3, n, ...Array(20).fill(0), ...macOf(n)];
  const extra = wanted === undefined ? [] : [50, 4, ...bytesOf(wanted)];
  const data = [...head, ...Array(236 - head.length).fill(0), 0x63, 0x82, 0x53, 0x63, 53, 1, type, ...extra, 255];
  const addresses = { source: '0.0.0.0', destination: '255.255.255.255' };
  return udp({ to: BROADCAST, from: macOf(n), ...addresses, ports: [68, 67], data });
}

const offered = (frame: Frame) => hear(frame).payload.slice(24, 28).join('.');

/** An ARP message: a request (1) or an answer (2). */
function arp(from: number, to: readonly number[], operation: number, sender: string, target: string): number[] {
  const body = [0, 1, 8, 0, 6, 4, 0, operation, ...macOf(from), ...bytesOf(sender), 0, 0, 0, 0, 0, 0];
  return [...to, ...macOf(from), 8, 6, ...body, ...bytesOf(target)];
}

async function lookUp(station: Station, asked: string): Promise<{ code: number; address: string }> {
  const labels = asked.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  const data = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1];
  const addresses = { source: addressOf(station.n), destination: '10.0.2.3' };
  station.got();
  station.give(udp({ to: ROUTER_MAC, from: macOf(station.n), ...addresses, ports: [4000, 53], data }));
  await soon();
  const { payload } = hear(station.got().at(-1)!);
  return { code: payload[8 + 3]! & 15, address: payload.slice(-4).join('.') };
}

test('each machine gets its address from its own router, and no other hears of it', () => {
  const [one, two] = network({ 1: 'web', 2: 'client' });
  one!.give(dhcp(one!, 1));
  assert.deepEqual(one!.got().map(offered), [addressOf(1)]);
  one!.give(dhcp(one!, 3, addressOf(1)));
  assert.deepEqual(one!.got().map(offered), [addressOf(1)]);
  // Another's address is not to be had.
  two!.give(dhcp(two!, 3, addressOf(1)));
  assert.equal(two!.got().map(offered).includes(addressOf(1)), false);
  assert.deepEqual([one!.got(), two!.got()], [[], []]);
});

test('machines find each other by name, and reach each other and nothing outside', async () => {
  const [one, two, three] = network({ 1: 'web', 2: 'client', 3: 'third' });
  for (const station of [one!, two!]) {
    station.give(dhcp(station, 1), dhcp(station, 3, addressOf(station.n)));
    station.got();
  }
  assert.deepEqual(await lookUp(two!, 'web'), { code: 0, address: addressOf(1) });
  assert.deepEqual(await lookUp(two!, 'WEB.virts.internal'), { code: 0, address: addressOf(1) });
  assert.equal((await lookUp(two!, 'nobody.virts.internal')).address === addressOf(1), false);
  assert.equal((await lookUp(two!, 'example.com')).code, 5, 'nothing outside');
  two!.give(arp(2, BROADCAST, 1, addressOf(2), addressOf(1)));
  assert.deepEqual([one!.got().length, two!.got().length, three!.got().length], [1, 0, 1]);
  const packet = udp({
    ...{ to: macOf(1), from: macOf(2), source: addressOf(2), destination: addressOf(1) },
    ...{ ports: [9, 9] as const, data: [1, 2, 3] },
  });
  two!.give(packet);
  assert.deepEqual([...one!.got()[0]!.bytes], packet);
  assert.deepEqual([two!.got(), three!.got()], [[], []]);
  one!.leave();
  two!.give(packet);
  assert.deepEqual(one!.got(), []);
});

test('no machine speaks for the router of another', () => {
  const [one, two] = network({ 1: 'victim', 2: 'mallory' });
  const to = macOf(1);
  const base = { to, from: macOf(2), ports: [9, 9] as const, data: [0] };
  const from6 = bytesOf('fe80:0:0:0:0:0:0:9');
  const icmp6 = (type: number, source: readonly number[], target: string) => {
    const body = [type, 0, 0, 0, 0x20, 0, 0, 0, ...bytesOf(target), 2, 1, ...macOf(2)];
    const header = [0x60, 0, 0, 0, ...word(body.length), 58, 255, ...source, ...bytesOf('ff02:0:0:0:0:0:0:1')];
    return [...to, ...macOf(2), 0x86, 0xdd, ...header, ...body];
  };
  const forged: readonly (readonly number[])[] = [
    arp(2, to, 2, '10.0.2.2', addressOf(1)),
    arp(2, BROADCAST, 1, '10.0.2.3', addressOf(1)),
    udp({ ...base, source: '10.0.2.3', destination: addressOf(1) }),
    udp({ ...base, source: addressOf(2), destination: addressOf(1), ports: [67, 68] }),
    udp({ ...base, source: '0.0.0.0', destination: '255.255.255.255', to: BROADCAST, ports: [68, 67] }),
    udp({ ...base, source: addressOf(2), destination: addressOf(1), from: ROUTER_MAC }),
    icmp6(134, from6, 'fd00:0:0:0:0:0:0:1'),
    icmp6(137, from6, 'fd00:0:0:0:0:0:0:1'),
    icmp6(136, from6, 'fd76:6972:7473:1:0:0:0:2'),
    icmp6(135, bytesOf('fe80:0:0:0:0:0:0:2'), 'fd00:0:0:0:0:0:0:1'),
    [...to, ...macOf(2)],
    [...to],
  ];
  for (const [i, frame] of forged.entries()) {
    two!.give(frame);
    assert.deepEqual(one!.got(), [], `frame ${i}`);
  }
  two!.give(icmp6(136, from6, 'fd76:6972:7473:1:0:0:0:77'), arp(2, to, 2, addressOf(2), addressOf(1)));
  assert.equal(one!.got().length, 2, 'of itself it may speak');
  // The router's frames go to the card alone.
  assert.deepEqual(parseMac(LAN.mac), Uint8Array.from(ROUTER_MAC));
});
