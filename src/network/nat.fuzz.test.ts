/**
 * Frames that no honest guest sends: sound ones of every kind with bytes changed, cut off or grown, between them
 * whatever a host may answer. Nothing throws, nothing hangs, and nothing that the network holds grows without bound.
 */
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { describe, test } from 'node:test';
import type { VirtsError } from '../base/errors.ts';
import type { Frame, FrameSink } from '../base/frame.ts';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import { LAN } from './addresses.ts';
import { createJunction } from './junction.ts';
import { bytesOf, createNatRig, GUEST, ipFrame, type NatRig, tcpFrame, udpFrame } from './nat.test-helper.ts';
import { adapt } from './segmentation.ts';

const OPERATIONS = 200_000;
/** Of what the suite does a part of only, unless told. */
const ASKED = env.VIRTS_HOSTILE === undefined ? undefined : Number(env.VIRTS_HOSTILE);
const FEWER = ASKED ?? 20_000;
const ROUNDS = 8;
const NO_OFFLOADS = { checksum: false, segments4: false, segments6: false };

/** What each figure may be at most. */
const BOUNDS: Readonly<Record<string, number>> = {
  'TCP connections': 1024,
  'UDP ports': 512 + 256,
  'known neighbours': 1024,
  'packets waiting for a neighbour': 64,
  'packets in part': 16,
  'questions waiting': 64,
  'echo requests waiting': 16,
  leases: 240,
  'addresses open by name': 4096,
  'alarms waiting': 2 * 1024 + 8,
  'shared buffer left (KiB)': 65_536,
};

function arp(): Uint8Array {
  const head = [255, 255, 255, 255, 255, 255, ...GUEST.mac, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
  return Uint8Array.from([...head, ...GUEST.mac, ...bytesOf(GUEST.v4), 0, 0, 0, 0, 0, 0, ...bytesOf('10.0.2.2')]);
}

function dhcp(type: number): Uint8Array {
  const head = [1, 1, 6, 0, 1, 2, 3, 4, ...Array(20).fill(0), ...GUEST.mac];
  const fixed = [...head, ...Array(236 - head.length).fill(0), 0x63, 0x82, 0x53, 0x63, 53, 1, type];
  return udpFrame('255.255.255.255', 68, 67, [...fixed, 50, 4, 10, 0, 2, 15, 255], '0.0.0.0');
}

const QUESTION = [
  0,
  9,
  1,
  0,
  0,
  1,
  0,
  0,
  0,
  0,
  0,
  0,
  7,
  ...Buffer.from('example'),
  3,
  ...Buffer.from('com'),
  0,
  0,
  1,
  0,
  1,
];

/** A TCP option list: MSS and window scale. */
const OPTIONS = [2, 4, 5, 0xb4, 1, 3, 3, 7];

type Random = () => number;
const pickOf =
  (random: Random) =>
  <T>(...of: readonly T[]): T =>
    of[random() % of.length]!;
const destination = (random: Random) =>
  pickOf(random)('203.0.113.7', '10.0.2.2', '10.0.2.3', '2001:db8::7', 'fd76:6972:7473:1::3');
const isV6 = (address: string) => address.includes(':');
const portOf = (random: Random) => 1000 + (random() % 40);
const tcpBase = (random: Random) => ({
  from: portOf(random),
  to: pickOf(random)(80, 53),
  sequence: random() % 3000,
  acknowledgement: random() % 3000,
});
const flagsOf = (random: Random) => pickOf(random)(16, 17, 24, 4, 2, 18, 1);

/** Sound frames to start from, by kind. */
const SOUND: Readonly<Record<string, (random: Random) => Uint8Array>> = {
  ARP: arp,
  DHCP: (random) => dhcp(1 + (random() % 8)),
  DNS: (random) => {
    const server = pickOf(random)('10.0.2.3', 'fd76:6972:7473:1::3');
    const tcp = { ...tcpBase(random), to: 53, flags: 24, data: [0, QUESTION.length, ...QUESTION] };
    return random() % 4 === 0 ? tcpFrame(server, tcp) : udpFrame(server, portOf(random), 53, QUESTION);
  },
  UDP: (random) => udpFrame(destination(random), portOf(random), random() % 3000, Array(random() % 50).fill(1)),
  ICMP: (random) => {
    const to = destination(random);
    const [from, protocol, type] = isV6(to) ? [GUEST.v6, 58, 128] : [GUEST.v4, 1, 8];
    return ipFrame(from, to, protocol, [type, 0, 0, 0, 0, 1, 0, 1, 2, 3], 2);
  },
  'neighbour discovery': (random) => {
    const type = pickOf(random)(133, 134, 135, 136, 137);
    return ipFrame(GUEST.v6, 'ff02::2', 58, [type, 0, ...Array(30).fill(0)], 2, 255);
  },
  SYN: (random) => {
    const base = { ...tcpBase(random), sequence: 100 };
    return tcpFrame(destination(random), { ...base, flags: 2, options: OPTIONS });
  },
  TCP: (random) =>
    tcpFrame(destination(random), {
      ...tcpBase(random),
      flags: flagsOf(random),
      data: Array(random() % 60).fill(7),
    }),
};
const MIX = [...Object.keys(SOUND), 'TCP', 'TCP', 'TCP', 'TCP'];

/** The frame, more often than not no longer what it was; its checksums may be claimed to be right. */
function mutate(random: () => number, frame: Uint8Array): Frame {
  let bytes = frame;
  for (let changes = random() % 4; changes > 0; changes--) {
    const at = random() % 3 === 0 ? random() % bytes.length : 12 + (random() % Math.max(1, bytes.length - 12));
    bytes[at % bytes.length] = random() & 255;
  }
  if (random() % 8 === 0) bytes = bytes.subarray(0, random() % (bytes.length + 1));
  else if (random() % 16 === 0) bytes = Uint8Array.from([...bytes, ...Array(random() % 1500).fill(random() & 255)]);
  const claims = random() % 2 === 0;
  return {
    bytes,
    segmentSize: random() % 8 === 0 ? random() % 2000 : 0,
    checksumStart: claims ? 34 + (random() % 4 === 0 ? random() % 100 : 0) : 0,
    checksumOffset: random() % 20,
  };
}

/** Something happens at the host, or time passes. */
function hostWork(rig: NatRig, random: () => number): void {
  const { host } = rig;
  const connection = host.connections[random() % Math.max(1, host.connections.length)];
  const socket = host.sockets[random() % Math.max(1, host.sockets.length)];
  switch (random() % 10) {
    case 0:
      connection?.events.connected();
      break;
    case 1:
      connection?.events.received(new Uint8Array(random() % 5000));
      break;
    case 2:
      connection?.flush();
      break;
    case 3:
      connection?.events.ended();
      break;
    case 4:
      if (connection !== undefined) {
        connection.events.closed(([undefined, 'reset', 'refused', 'unreachable', 'timeout'] as const)[random() % 5]);
        host.connections.splice(host.connections.indexOf(connection), 1);
      }
      break;
    case 5:
      socket?.receive({ address: '203.0.113.7', port: random() % 3000 }, new Uint8Array(random() % 4000));
      break;
    case 6:
      host.questions.shift()?.answer(Uint8Array.from({ length: random() % 100 }, () => random()));
      host.echoes.shift()?.answer(random() % 2 === 0);
      break;
    case 7:
      host.dial(8080);
      break;
    case 8:
      rig.full = random() % 4 === 0;
      rig.nat.wireReady();
      break;
    default:
      rig.timers.advance(random() % 200_000_000);
  }
}

/** Gives a network so many hostile frames of the given kinds; the frames that it answered. */
async function attack(
  seed: number,
  operations: number,
  kinds: readonly string[],
  change: typeof mutate,
): Promise<number> {
  const random = randomNumbers(seed);
  const rig = createNatRig({
    hostAccess: seed % 2 === 1,
    access: seed % 3 === 1 ? { kind: 'listed', hosts: ['*.com', '203.0.113.0/24'] } : { kind: 'full' },
  });
  await rig.nat.forward({ protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 });
  let heard = 0;
  for (let i = 0; i < operations; i++) {
    const frame = change(random, SOUND[pickOf(random)(...kinds)]!(random));
    if (frame.segmentSize > 0) adapt(frame, NO_OFFLOADS);
    rig.give(frame);
    if (random() % 4 === 0) hostWork(rig, random);
    if (i % 64 !== 0) continue;
    // Every frame that goes out is sound, even now.
    heard += rig.heard().length;
    await null;
    for (const [name, value] of Object.entries(rig.nat.figures())) {
      assert.ok(value >= 0 && value <= BOUNDS[name]!, `${name}: ${value}`);
    }
    // What it would save it could read.
    if (i % 4096 === 0) rig.nat.restore(JSON.parse(JSON.stringify(rig.nat.save())));
  }
  rig.nat.close();
  const after = rig.nat.figures();
  assert.deepEqual([after['TCP connections'], after['UDP ports'], after['shared buffer left (KiB)']], [0, 0, 65_536]);
  return heard;
}

test(`${OPERATIONS} hostile frames`, async () => {
  for (let round = 1; round <= ROUNDS; round++) {
    const heard = await attack(round, OPERATIONS / ROUNDS, MIX, mutate);
    assert.ok(heard > 3000, `round ${round}: the network answered ${heard} times`);
  }
});

/** Cut off anywhere, with the rest as it was. */
function cut(random: Random, bytes: Uint8Array): Frame {
  return { bytes: bytes.subarray(0, random() % bytes.length), segmentSize: 0, checksumStart: 34, checksumOffset: 16 };
}

describe('one kind at a time, in a soak', { skip: ASKED === undefined }, () => {
  for (const kind of Object.keys(SOUND)) {
    test(kind, async () => void (await attack(77, FEWER, [kind], mutate)));
  }
  test('cut off', async () => void (await attack(78, FEWER, MIX, cut)));
});

test('hostile frames of another machine harm neither the machine nor its router', () => {
  const random = randomNumbers(5);
  const rig = createNatRig();
  let given = 0;
  let sink: FrameSink | undefined;
  const wire = {
    send(frame: Frame) {
      assert.ok(frame.segmentSize === 0 && frame.checksumStart === 0, 'it is adapted to the receiver');
      given++;
      return random() % 16 !== 0;
    },
    offloads: () => NO_OFFLOADS,
  };
  const junction = createJunction({
    ...{ wire, router: rig.nat, addresses: LAN },
    plug(made) {
      sink = made;
      return { receive() {}, leave() {} };
    },
  });
  for (let i = 0; i < FEWER; i++) {
    const frame = mutate(random, SOUND[pickOf(random)(...MIX)]!(random));
    if (random() % 4 === 0) junction.receive(frame);
    else sink!.send(frame);
  }
  assert.ok(given > 1000);
});

test('a saved state that anybody may have written is taken whole or not at all', () => {
  const random = randomNumbers(6);
  const rig = createNatRig();
  rig.give(dhcp(1), dhcp(3), SOUND.SYN!(random));
  const sound = JSON.stringify({
    ...rig.nat.save(),
    connections: [
      {
        ...{ guest: { address: GUEST.v4, port: 1 }, other: { address: '10.0.2.2', port: 2 } },
        ...{ sequence: 1, acknowledgement: 2 },
      },
    ],
  });
  let taken = 0;
  for (let i = 0; i < FEWER; i++) {
    const at = random() % sound.length;
    const text = sound.slice(0, at) + pickOf(random)('', '0', '9', '-', '"', 'null', '[]', '.') + sound.slice(at + 1);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      continue;
    }
    try {
      rig.nat.restore(value);
      taken++;
    } catch (error) {
      assert.equal((error as VirtsError).kind, 'bad-input');
    }
    rig.heard();
  }
  assert.ok(taken > 10);
  for (const value of [undefined, null, 7, [], {}, { version: 2 }]) {
    assert.throws(() => rig.nat.restore(value), { kind: 'bad-input' });
  }
});
