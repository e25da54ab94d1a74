/** A network with a guest made of bare frames, and a host in the test's hands. */
import assert from 'node:assert/strict';
import { type FakeTimers, fakeTimers } from '../base/fake-timers.ts';
import { type Frame, NO_OFFLOADS, type Offloads, plainFrame } from '../base/frame.ts';
import { randomNumbers } from '../devices/conformance.test-helper.ts';
import { createFakeHost, type FakeHost } from './fake-host.test-helper.ts';
import { createNat, type Nat, type NatOptions } from './nat.ts';
import { FLAG } from './tcp/segment.ts';

export const GUEST = { mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56], v4: '10.0.2.15', v6: 'fd76:6972:7473:1::15' } as const;
export const ROUTER_MAC = [0x52, 0x55, 0x0a, 0, 2, 2];

/** Bytes of an address written in full: no `::`. */
export function bytesOf(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number);
  const [head, tail] = address.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const groups = tail === undefined ? head! : [...head!, ...Array(8 - head!.length - tail.length).fill('0'), ...tail];
  return groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
}

const word = (value: number) => [(value >> 8) & 255, value & 255];
const long = (value: number) => [...word(value >>> 16), ...word(value & 0xffff)];

/** The Internet checksum, the plain way. */
export function sumOf(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

const v6 = (address: string) => address.includes(':');

/** An Ethernet frame with an IP packet of the given payload, whose checksum at `checksumAt` is filled in. */
export function ipFrame(
  source: string,
  destination: string,
  protocol: number,
  payload: readonly number[],
  checksumAt: number,
  hops = 64,
): Uint8Array {
  const [from, to] = [bytesOf(source), bytesOf(destination)];
  const body = [...payload];
  if (checksumAt >= 0) {
    const pseudo = protocol === 1 ? [] : [...from, ...to, ...long(body.length), ...long(protocol)];
    body.splice(checksumAt, 2, ...word(sumOf([...pseudo, ...body])));
  }
  const header = v6(source)
    ? [0x60, 0, 0, 0, ...word(body.length), protocol, hops, ...from, ...to]
    : [0x45, 0, ...word(20 + body.length), 0, 1, 0x40, 0, hops, protocol, 0, 0, ...from, ...to];
  if (!v6(source)) header.splice(10, 2, ...word(sumOf(header)));
  return Uint8Array.from([...ROUTER_MAC, ...GUEST.mac, ...(v6(source) ? [0x86, 0xdd] : [8, 0]), ...header, ...body]);
}

export function udpFrame(
  destination: string,
  from: number,
  to: number,
  data: readonly number[],
  source: string = v6(destination) ? GUEST.v6 : GUEST.v4,
): Uint8Array {
  return ipFrame(source, destination, 17, [...word(from), ...word(to), ...word(8 + data.length), 0, 0, ...data], 6);
}

export interface TcpFields {
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
  readonly acknowledgement?: number;
  readonly flags: number;
  readonly window?: number;
  readonly options?: readonly number[];
  readonly data?: readonly number[];
}

export function tcpFrame(destination: string, fields: TcpFields): Uint8Array {
  const { from, to, sequence, acknowledgement = 0, flags, window = 0xffff, options = [], data = [] } = fields;
  const header = [...word(from), ...word(to), ...long(sequence), ...long(acknowledgement)];
  const rest = [(5 + options.length / 4) << 4, flags, ...word(window), 0, 0, 0, 0, ...options, ...data];
  return ipFrame(v6(destination) ? GUEST.v6 : GUEST.v4, destination, 6, [...header, ...rest], 16);
}

/** What a frame from the network says. */
export interface Heard {
  readonly frame: Frame;
  readonly type: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** The IP payload. */
  readonly payload: number[];
}

const addressOf = (bytes: readonly number[]): string =>
  bytes.length === 4
    ? bytes.join('.')
    : Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16)).join(':');

/** Reads a frame and verifies its checksums. */
export function hear(frame: Frame): Heard {
  const bytes = [...frame.bytes];
  const type = bytes[12]! * 256 + bytes[13]!;
  if (type === 0x0806) return { frame, type, source: '', destination: '', protocol: 0, payload: bytes.slice(14) };
  const old = type === 0x0800;
  const header = old ? 20 : 40;
  const length = bytes[14 + (old ? 2 : 4)]! * 256 + bytes[15 + (old ? 2 : 4)]!;
  assert.equal(bytes.length, 14 + (old ? 0 : header) + length);
  if (old) assert.equal(sumOf(bytes.slice(14, 34)), 0, 'the header checksum is right');
  const [from, to] = old ? [bytes.slice(26, 30), bytes.slice(30, 34)] : [bytes.slice(22, 38), bytes.slice(38, 54)];
  const protocol = bytes[14 + (old ? 9 : 6)]!;
  const payload = bytes.slice(14 + header);
  const fragment = old && ((bytes[20]! & 0x3f) !== 0 || bytes[21] !== 0);
  if (frame.checksumStart === 0 && [1, 6, 17, 58].includes(protocol) && !fragment) {
    const pseudo = protocol === 1 ? [] : [...from, ...to, ...long(payload.length), ...long(protocol)];
    assert.equal(sumOf([...pseudo, ...payload]), 0, 'the payload checksum is right');
  }
  return { frame, type, source: addressOf(from), destination: addressOf(to), protocol, payload };
}

export interface HeardTcp {
  readonly from: number;
  readonly to: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  readonly window: number;
  readonly data: number[];
}

export function tcpOf({ payload }: Heard): HeardTcp {
  const view = new DataView(Uint8Array.from(payload).buffer);
  return {
    from: view.getUint16(0),
    to: view.getUint16(2),
    sequence: view.getUint32(4),
    acknowledgement: view.getUint32(8),
    flags: payload[13]!,
    window: view.getUint16(14),
    data: payload.slice((payload[12]! >> 4) * 4),
  };
}

export interface NatRig {
  readonly nat: Nat;
  readonly host: FakeHost;
  readonly timers: FakeTimers;
  /** Frames from the network since the last call. */
  heard(): Heard[];
  /** Sends frames of the guest. */
  give(...frames: (Uint8Array | Frame)[]): void;
  /** What the wire takes at present. */
  full: boolean;
  offloads: Offloads;
}

/** The network knows the guest already. */
export function createNatRig(options: Partial<NatOptions> = {}): NatRig {
  const host = createFakeHost();
  const timers = fakeTimers();
  const random = randomNumbers(5);
  let frames: Frame[] = [];
  const rig = { full: false, offloads: NO_OFFLOADS as Offloads };
  const nat = createNat({
    host,
    timers,
    random: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = random();
    },
    wire: {
      send(frame) {
        if (rig.full) return false;
        frames.push(frame);
        return true;
      },
      offloads: () => rig.offloads,
    },
    access: { kind: 'full' },
    hostAccess: false,
    route6: true,
    ...options,
  });
  return Object.assign(rig, {
    nat,
    host,
    timers,
    heard() {
      const taken = frames.map(hear);
      frames = [];
      return taken;
    },
    give(...given: (Uint8Array | Frame)[]) {
      for (const frame of given) nat.receive(frame instanceof Uint8Array ? plainFrame(frame) : frame);
      nat.settle();
    },
  });
}

/** What was promised comes after the promises before it. */
export const soon = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Hosts outside, for guests to speak with. */
export const OUTSIDE = '203.0.113.7';
export const OUTSIDE6 = '2001:db8::7';

/** A guest's connection that is open. */
export async function connected(rig: NatRig, port = 1000, to = OUTSIDE) {
  rig.give(tcpFrame(to, { from: port, to: 80, sequence: 100, flags: FLAG.syn, options: [2, 4, 5, 0xb4] }));
  const socket = rig.host.connections.at(-1)!;
  socket.events.connected();
  const answer = tcpOf(rig.heard().at(-1)!);
  assert.equal(answer.flags, FLAG.syn | FLAG.ack);
  assert.equal(answer.acknowledgement, 101);
  let sequence = 101;
  const base = { from: port, to: 80 };
  const guest = {
    socket,
    acknowledged: answer.sequence + 1,
    send(data: readonly number[], flags: number = FLAG.ack): void {
      rig.give(tcpFrame(to, { ...base, sequence, acknowledgement: guest.acknowledged, flags, data }));
      sequence += data.length + (flags & FLAG.fin ? 1 : 0);
    },
    /** Takes data and acknowledges them. */
    take(): HeardTcp[] {
      const segments = rig.heard().map(tcpOf);
      for (const { data, flags } of segments) guest.acknowledged += data.length + (flags & FLAG.fin ? 1 : 0);
      guest.send([]);
      return segments;
    },
  };
  guest.send([]);
  return guest;
}
