/**
 * Where a machine's card, its own router and a network with other machines meet. Each machine has a router of its own, with
 * the same addresses, so that the outside, forwarded ports and DHCP need no other process; whatever concerns the router stays
 * here, and no other machine can speak for it.
 */
import type { Frame, FrameSink } from '../base/frame.ts';
import { formatAddress, parseMac } from './address.ts';
import { type LanAddresses, routerAddresses } from './addresses.ts';
import { PORT as DHCP_PORT } from './dhcp/message.ts';
import { ETHER, ETHERNET_HEADER, type IpPacket, PROTOCOL, parseIp } from './ip/packet.ts';
import type { Attached } from './link.ts';
import { adapt } from './segmentation.ts';
import type { SwitchPort } from './switch.ts';
import { getU16 } from './wire.ts';

export interface JunctionOptions {
  /** Towards the card. */
  readonly wire: FrameSink;
  readonly router: Attached;
  /** The router's. */
  readonly addresses: LanAddresses;
  /** Plugs the machine into the network. `sink` is towards it, and takes frames of every kind. */
  plug(sink: FrameSink): SwitchPort;
}

/** ICMPv6 (RFC 4861): what routers say, and answers to who has an address. */
const ROUTER_ADVERTISEMENT = 134;
const NEIGHBOUR_ADVERTISEMENT = 136;
const REDIRECT = 137;
const ARP_SENDER = ETHERNET_HEADER + 14;

/** What any receiver behind the junction is given is adapted there. */
const EVERYTHING = { checksum: true, segments4: true, segments6: true };

function isDhcp({ version, protocol, bytes, from, to }: IpPacket): boolean {
  if (version !== 4 || protocol !== PROTOCOL.udp || to - from < 8) return false;
  const ports: readonly number[] = [DHCP_PORT.server, DHCP_PORT.client];
  return ports.includes(getU16(bytes, from)) || ports.includes(getU16(bytes, from + 2));
}

export function createJunction({ wire, router, addresses, plug }: JunctionOptions): Attached & { leave(): void } {
  const mac = parseMac(addresses.mac)!;
  const routers = routerAddresses(addresses);

  /** Whether another machine's frame speaks for the router, which none may. */
  function poses({ bytes }: Frame): boolean {
    if (mac.every((byte, i) => byte === bytes[6 + i])) return true;
    if (getU16(bytes, 12) === ETHER.arp) {
      return bytes.length >= ARP_SENDER + 4 && routers.has(formatAddress(bytes, ARP_SENDER, 4));
    }
    const packet = parseIp(bytes);
    if (packet === undefined) return false;
    if (routers.has(packet.source) || isDhcp(packet)) return true;
    const { protocol, from, to, fragment } = packet;
    if (packet.version !== 6 || protocol !== PROTOCOL.icmp6 || fragment !== undefined || from >= to) return false;
    const type = bytes[from]!;
    if (type === ROUTER_ADVERTISEMENT || type === REDIRECT) return true;
    return type === NEIGHBOUR_ADVERTISEMENT && to - from >= 24 && routers.has(formatAddress(bytes, from + 8, 16));
  }

  const port = plug({
    // What the card has no room for is lost: the network waits for nobody.
    send(frame) {
      if (frame.bytes.length < ETHERNET_HEADER || poses(frame)) return true;
      return adapt(frame, wire.offloads()).every((one) => wire.send(one));
    },
    offloads: () => EVERYTHING,
  });

  return {
    receive(frame) {
      const { bytes } = frame;
      if (bytes.length < ETHERNET_HEADER) return;
      const toGroup = (bytes[0]! & 1) === 1;
      const toRouter = mac.every((byte, i) => byte === bytes[i]);
      if (toGroup || toRouter) router.receive(frame);
      if (toRouter) return;
      const packet = toGroup ? parseIp(bytes) : undefined;
      if (packet === undefined || !isDhcp(packet)) port.receive(frame);
    },
    settle: router.settle,
    wireReady: router.wireReady,
    reset: router.reset,
    leave: port.leave,
  };
}
