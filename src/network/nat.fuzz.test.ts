/**
 * Frames that no honest guest sends: sound ones of every kind with bytes changed, cut off or grown, between them
 * whatever a host may answer. Nothing throws, nothing hangs, and nothing that the network holds grows without bound.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Frame } from '../base/frame.ts';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import { bytesOf, createNatRig, GUEST, ipFrame, type NatRig, tcpFrame, udpFrame } from './nat.test-helper.ts';
import { adapt } from './segmentation.ts';

const OPERATIONS = 200_000;
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

/** Sound frames to start from. */
function seeds(random: () => number): Uint8Array {
  const pick = <T>(...of: readonly T[]): T => of[random() % of.length]!;
  const to = pick('203.0.113.7', '10.0.2.2', '10.0.2.3', '2001:db8::7', 'fd76:6972:7473:1::3');
  const v6 = to.includes(':');
  const port = 1000 + (random() % 40);
  const tcp = { from: port, to: pick(80, 53), sequence: random() % 3000, acknowledgement: random() % 3000 };
  switch (random() % 12) {
    case 0:
      return arp();
    case 1:
      return dhcp(1 + (random() % 8));
    case 2:
      return udpFrame(v6 ? 'fd76:6972:7473:1::3' : '10.0.2.3', port, 53, QUESTION);
    case 3:
      return udpFrame(to, port, random() % 3000, Array(random() % 50).fill(1));
    case 4:
      return ipFrame(v6 ? GUEST.v6 : GUEST.v4, to, v6 ? 58 : 1, [v6 ? 128 : 8, 0, 0, 0, 0, 1, 0, 1, 2, 3], 2);
    case 5:
      return ipFrame(GUEST.v6, 'ff02::2', 58, [pick(133, 134, 135, 136, 137), 0, ...Array(30).fill(0)], 2, 255);
    case 6:
      return tcpFrame(to, { ...tcp, sequence: 100, flags: 2, options: OPTIONS });
    default:
      return tcpFrame(to, { ...tcp, flags: pick(16, 17, 24, 4, 2, 18, 1), data: Array(random() % 60).fill(7) });
  }
}

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

test(`${OPERATIONS} hostile frames`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = randomNumbers(round + 1);
    const rig = createNatRig({
      hostAccess: round % 2 === 0,
      access: round % 3 === 0 ? { kind: 'listed', hosts: ['*.com', '203.0.113.0/24'] } : { kind: 'full' },
    });
    await rig.nat.forward({ protocol: 'tcp', at: { address: '127.0.0.1', port: 8080 }, port: 80 });
    let heard = 0;
    for (let i = 0; i < OPERATIONS / ROUNDS; i++) {
      const frame = mutate(random, seeds(random));
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
    }
    assert.ok(heard > 3000, `round ${round}: the network answered ${heard} times`);
    rig.nat.close();
    const after = rig.nat.figures();
    assert.deepEqual([after['TCP connections'], after['UDP ports'], after['shared buffer left (KiB)']], [0, 0, 65_536]);
  }
});
