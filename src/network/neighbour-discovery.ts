/** Neighbour discovery and router advertisement of IPv6 (RFC 4861, RFC 8106). */
import { type Address, ALL_NODES, ANY6, addressBytes, formatAddress } from './address.ts';
import { type IpPacket, PROTOCOL } from './ip/packet.ts';
import type { Lan } from './lan.ts';
import { setU16, setU32 } from './wire.ts';

const TYPE = { routerSolicitation: 133, routerAdvertisement: 134, solicitation: 135, advertisement: 136 } as const;
const OPTION = { source: 1, target: 2, prefix: 3, mtu: 5, nameServer: 25, domain: 31 } as const;

/** Seconds. Guests ask again long before, and nothing changes. */
const LIFETIME = 86_400;
/** A router's lifetime is at most 9000 s (RFC 4861 6.2.1); it is told again before. */
const ROUTER_LIFETIME = 9000;
export const ADVERTISE_EVERY = 1800e9;

function send(lan: Lan, source: Address, destination: Address, message: Uint8Array): void {
  const fill = (bytes: Uint8Array, at: number) => bytes.set(message, at);
  lan.send({ source, destination, protocol: PROTOCOL.icmp6, length: message.length, checksumAt: 2, hops: 255, fill });
}

/** Asks who has an address, at its solicited-node group. */
export function askNeighbour(lan: Lan, address: Address): void {
  const message = new Uint8Array(32);
  message[0] = TYPE.solicitation;
  message.set(addressBytes(address), 8);
  message.set([OPTION.source, 1, ...lan.mac], 24);
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, ...addressBytes(address).subarray(13));
  send(lan, lan.addresses.linkLocal, formatAddress(group, 0, 16), message);
}

function advertise(lan: Lan, target: Address, to: Address): void {
  const message = new Uint8Array(32);
  message[0] = TYPE.advertisement;
  // Router, override; solicited where somebody asked.
  message[4] = 0x80 | 0x20 | (to === ALL_NODES ? 0 : 0x40);
  message.set(addressBytes(target), 8);
  message.set([OPTION.target, 1, ...lan.mac], 24);
  send(lan, target, to, message);
}

/** A domain in DNS's form, padded to whole units of eight bytes (RFC 8106 5.2). */
function domainOption(domain: string): Uint8Array {
  const labels = domain.split('.').flatMap((label) => [label.length, ...Array.from(label, (c) => c.charCodeAt(0))]);
  const units = Math.ceil((8 + labels.length + 1) / 8);
  const bytes = new Uint8Array(units * 8);
  bytes.set([OPTION.domain, units]);
  setU32(bytes, 4, LIFETIME);
  bytes.set(labels, 8);
  return bytes;
}

/** Tells of the prefix, the name server, and of the route to the outside if there is one. */
export function advertiseRouter(lan: Lan, to: Address, route: boolean): void {
  const { prefix6, nameServer6, linkLocal, domain } = lan.addresses;
  const last = domainOption(domain);
  const message = new Uint8Array(16 + 8 + 8 + 32 + 24 + last.length);
  message[0] = TYPE.routerAdvertisement;
  message[4] = 64;
  setU16(message, 6, route ? ROUTER_LIFETIME : 0);
  message.set([OPTION.source, 1, ...lan.mac], 16);
  message.set([OPTION.mtu, 1], 24);
  setU32(message, 28, lan.mtu);
  // On this link, and for addresses that guests form themselves.
  message.set([OPTION.prefix, 4, prefix6.length, 0xc0], 32);
  setU32(message, 36, LIFETIME);
  setU32(message, 40, LIFETIME);
  message.set(prefix6.bytes, 48);
  message.set([OPTION.nameServer, 3], 64);
  setU32(message, 68, LIFETIME);
  message.set(addressBytes(nameServer6), 72);
  message.set(last, 88);
  send(lan, linkLocal, to, message);
}

/** The link-layer address in a message's options, of the given kind. */
function linkLayerOption(packet: IpPacket, from: number, kind: number): Uint8Array | undefined {
  const { bytes, to } = packet;
  for (let at = from; at + 8 <= to; ) {
    const length = bytes[at + 1]! * 8;
    if (length === 0 || at + length > to) return undefined;
    if (bytes[at] === kind && length === 8) return bytes.subarray(at + 2, at + 8);
    at += length;
  }
  return undefined;
}

function receiveSolicitation(lan: Lan, packet: IpPacket): void {
  const { bytes, from, to, source } = packet;
  if (to - from < 24) return;
  const target = formatAddress(bytes, from + 8, 16);
  if (source !== ANY6) {
    const mac = linkLayerOption(packet, from + 24, OPTION.source);
    if (mac !== undefined) lan.learn(source, mac);
  }
  // Somebody who checks whether an address is free is told by all that it is not (RFC 4862 5.4).
  if (lan.isOwn(target)) advertise(lan, target, source === ANY6 ? ALL_NODES : source);
}

/** Takes an ICMPv6 message of neighbour discovery; `false` where it is none. */
export function receiveDiscovery(lan: Lan, packet: IpPacket, route: boolean): boolean {
  const { bytes, from, to, hops, source } = packet;
  const type = bytes[from]!;
  if (type < TYPE.routerSolicitation || type > 137) return false;
  // Only what was not forwarded counts (RFC 4861 6.1, 7.1).
  if (hops !== 255 || bytes[from + 1] !== 0) return true;
  if (type === TYPE.routerSolicitation) {
    const mac = source === ANY6 ? undefined : linkLayerOption(packet, from + 8, OPTION.source);
    if (mac !== undefined) lan.learn(source, mac);
    advertiseRouter(lan, mac === undefined ? ALL_NODES : source, route);
  } else if (type === TYPE.solicitation) receiveSolicitation(lan, packet);
  else if (type === TYPE.advertisement && to - from >= 24) {
    const mac = linkLayerOption(packet, from + 24, OPTION.target);
    if (mac !== undefined) lan.learn(formatAddress(bytes, from + 8, 16), mac);
  }
  return true;
}
