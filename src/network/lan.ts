/** The router's end of a network: its own addresses, the machines that it knows there, and sending to them. */
import { type FrameSink, plainFrame } from '../base/frame.ts';
import {
  type Address,
  addressBytes,
  formatMac,
  inPrefix,
  isV6,
  type Mac,
  type Prefix,
  parseMac,
  parsePrefix,
} from './address.ts';
import { type LanAddresses, routerAddresses } from './addresses.ts';
import type { Alarms } from './alarms.ts';
import { createIpOutput, type Outgoing } from './ip/output.ts';
import { ETHERNET_HEADER } from './ip/packet.ts';
import { setU16 } from './wire.ts';

export interface LanOptions {
  readonly addresses: LanAddresses;
  readonly wire: FrameSink;
  readonly alarms: Alarms;
  readonly mtu: number;
  /** Asks who has an address, by ARP or neighbour discovery. */
  solicit(address: Address): void;
}

export interface Lan {
  readonly addresses: LanAddresses;
  readonly mtu: number;
  readonly wire: FrameSink;
  /** The router's MAC address. */
  readonly mac: Uint8Array;
  /** Whether an address is one of the router's own. */
  isOwn(address: Address): boolean;
  /** Whether an address belongs to the network itself, whoever has it. */
  isLocal(address: Address): boolean;
  /**
   * Sends to the machine that has the destination address; to the group, if it is one. `false`: the wire has no room. A
   * machine that is not known is asked for, and one packet waits for its answer.
   */
  send(packet: Outgoing): boolean;
  /** The same to a MAC address. */
  sendTo(packet: Outgoing, mac: Uint8Array): boolean;
  /** Sends an Ethernet frame of another protocol. */
  sendRaw(to: Uint8Array, type: number, payload: Uint8Array): void;
  /** A machine showed that it has an address. Only addresses of this network count, and not the router's own. */
  learn(address: Address, mac: Uint8Array): void;
  /** The MAC address of a machine, if it is known. */
  macOf(address: Address): Mac | undefined;
  /** All machines known, by address. */
  neighbours(): { readonly address: Address; readonly mac: Mac }[];
  /** Machines known, and packets that wait for one. */
  readonly known: number;
  readonly waiting: number;
}

const MOST_KNOWN = 1024;
const MOST_WAITING = 64;
const WAIT_NS = 3e9;

export const BROADCAST = Uint8Array.of(255, 255, 255, 255, 255, 255);
const LINK_LOCAL: Prefix = parsePrefix('fe80::/10')!;
const GROUP6: Prefix = parsePrefix('ff00::/8')!;

/** The MAC address of a multicast group of IPv6 (RFC 2464 7). */
function groupMac(address: Address): Uint8Array {
  return Uint8Array.of(0x33, 0x33, ...addressBytes(address).subarray(12));
}

export function createLan({ addresses, wire, alarms, mtu, solicit }: LanOptions): Lan {
  const mac = parseMac(addresses.mac)!;
  const output = createIpOutput({ wire, mac, mtu });
  const neighbours = new Map<Address, Uint8Array>();
  const waiting = new Map<Address, { readonly packet: Outgoing; readonly expires: number }>();
  const own = routerAddresses(addresses);
  const isLocal = (address: Address) =>
    [addresses.subnet, addresses.prefix6, LINK_LOCAL].some((prefix) => inPrefix(address, prefix));

  function wait(packet: Outgoing): void {
    const { destination } = packet;
    for (const [address, { expires }] of waiting) if (expires <= alarms.now()) waiting.delete(address);
    if (waiting.has(destination) || waiting.size >= MOST_WAITING) return;
    // Written now: what fills it may have changed when the answer comes.
    const bytes = new Uint8Array(packet.length);
    packet.fill(bytes, 0);
    const kept: Outgoing = { ...packet, fill: (to, at) => to.set(bytes, at) };
    waiting.set(destination, { packet: kept, expires: alarms.now() + WAIT_NS });
    solicit(destination);
  }

  const lan: Lan = {
    addresses,
    mtu,
    wire,
    mac,
    isOwn: (address) => own.has(address),
    isLocal,
    send(packet) {
      const { destination } = packet;
      if (destination === '255.255.255.255') return output.send(packet, BROADCAST);
      if (isV6(destination) && inPrefix(destination, GROUP6)) return output.send(packet, groupMac(destination));
      const neighbour = neighbours.get(destination);
      if (neighbour !== undefined) return output.send(packet, neighbour);
      if (isLocal(destination)) wait(packet);
      return true;
    },
    sendTo: (packet, to) => output.send(packet, to),
    sendRaw(to, type, payload) {
      const bytes = new Uint8Array(ETHERNET_HEADER + payload.length);
      bytes.set(to, 0);
      bytes.set(mac, 6);
      setU16(bytes, 12, type);
      bytes.set(payload, ETHERNET_HEADER);
      wire.send(plainFrame(bytes));
    },
    learn(address, from) {
      const known = neighbours.get(address);
      if (known?.every((byte, i) => byte === from[i])) return;
      if (own.has(address) || !isLocal(address) || (from[0]! & 1) === 1) return;
      if (known === undefined && neighbours.size >= MOST_KNOWN) neighbours.delete(neighbours.keys().next().value!);
      neighbours.set(address, from.slice());
      const waited = waiting.get(address);
      waiting.delete(address);
      if (waited !== undefined && waited.expires > alarms.now()) output.send(waited.packet, from);
    },
    macOf(address) {
      const found = neighbours.get(address);
      return found && formatMac(found, 0);
    },
    neighbours: () => [...neighbours].map(([address, bytes]) => ({ address, mac: formatMac(bytes, 0) })),
    get known() {
      return neighbours.size;
    },
    get waiting() {
      return waiting.size;
    },
  };
  return lan;
}
