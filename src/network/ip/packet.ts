/** IPv4 and IPv6 packets, read alike (RFC 791, RFC 8200). What is malformed is no packet. */
import { type Address, formatAddress } from '../address.ts';
import { checksum } from '../checksum.ts';
import { getU16, getU32 } from '../wire.ts';

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmp6: 58 } as const;

/** EtherTypes. */
export const ETHER = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** Bytes of an Ethernet header. */
export const ETHERNET_HEADER = 14;

export interface Fragment {
  readonly id: number;
  /** Of its bytes in the whole, a multiple of 8. */
  readonly offset: number;
  readonly more: boolean;
}

export interface IpPacket {
  readonly source: Address;
  readonly destination: Address;
  readonly version: 4 | 6;
  readonly protocol: number;
  /** Time to live, or hop limit. */
  readonly hops: number;
  /** The payload is `[from, to)` of these bytes; the IP header begins at `start`. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly from: number;
  readonly to: number;
  readonly fragment: Fragment | undefined;
}

function parseV4(bytes: Uint8Array, start: number): IpPacket | undefined {
  if (bytes.length - start < 20 || bytes[start]! >> 4 !== 4) return undefined;
  const header = (bytes[start]! & 15) * 4;
  const length = getU16(bytes, start + 2);
  if (header < 20 || length < header || start + length > bytes.length) return undefined;
  if (checksum(bytes, start, start + header) !== 0) return undefined;
  const flags = getU16(bytes, start + 6);
  const [offset, more] = [(flags & 0x1fff) * 8, (flags & 0x2000) !== 0];
  return {
    source: formatAddress(bytes, start + 12, 4),
    destination: formatAddress(bytes, start + 16, 4),
    version: 4,
    protocol: bytes[start + 9]!,
    hops: bytes[start + 8]!,
    bytes,
    start,
    from: start + header,
    to: start + length,
    fragment: offset > 0 || more ? { id: getU16(bytes, start + 4), offset, more } : undefined,
  };
}

/** Extension headers (RFC 8200 4). */
const EXTENSION = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 } as const;
/** The most extension headers that are walked. */
const MOST_EXTENSIONS = 8;

function parseV6(bytes: Uint8Array, start: number): IpPacket | undefined {
  if (bytes.length - start < 40 || bytes[start]! >> 4 !== 6) return undefined;
  const to = start + 40 + getU16(bytes, start + 4);
  if (to > bytes.length) return undefined;
  let protocol = bytes[start + 6]!;
  let from = start + 40;
  let fragment: Fragment | undefined;
  for (let walked = 0; walked < MOST_EXTENSIONS; walked++) {
    const known =
      protocol === EXTENSION.hopByHop || protocol === EXTENSION.routing || protocol === EXTENSION.destination;
    if (!known && protocol !== EXTENSION.fragment) break;
    const size = known ? (bytes[from + 1]! + 1) * 8 : 8;
    if (from + 8 > to || from + size > to) return undefined;
    // A packet that still has places to visit is not for whoever reads it here.
    if (protocol === EXTENSION.routing && bytes[from + 3] !== 0) return undefined;
    if (protocol === EXTENSION.fragment) {
      const offset = getU16(bytes, from + 2);
      fragment = { id: getU32(bytes, from + 4), offset: offset & 0xfff8, more: (offset & 1) === 1 };
    }
    protocol = bytes[from]!;
    from += size;
    // What follows in a later fragment is no header.
    if (fragment !== undefined) break;
  }
  const whole = fragment !== undefined && fragment.offset === 0 && !fragment.more;
  return {
    source: formatAddress(bytes, start + 8, 16),
    destination: formatAddress(bytes, start + 24, 16),
    version: 6,
    protocol,
    hops: bytes[start + 7]!,
    bytes,
    start,
    from,
    to,
    fragment: whole ? undefined : fragment,
  };
}

/** The IP packet of a frame, `undefined` where there is none or it is malformed. */
export function parseIp(frame: Uint8Array): IpPacket | undefined {
  if (frame.length < ETHERNET_HEADER) return undefined;
  const type = getU16(frame, 12);
  if (type === ETHER.ipv4) return parseV4(frame, ETHERNET_HEADER);
  return type === ETHER.ipv6 ? parseV6(frame, ETHERNET_HEADER) : undefined;
}
