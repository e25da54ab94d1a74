/** UDP (RFC 768) of a network's guests: each of their ports is a socket of the host for as long as it is used. */
import { type Address, type Endpoint, isV6 } from './address.ts';
import type { Alarms } from './alarms.ts';
import type { HostDatagrams, HostNetwork } from './host.ts';
import { sendUnreachable } from './icmp.ts';
import { type IpPacket, PROTOCOL } from './ip/packet.ts';
import type { Lan } from './lan.ts';
import type { Routes } from './routes.ts';
import { getU16, setU16 } from './wire.ts';

export const UDP_HEADER = 8;
const CHECKSUM_AT = 6;

/** A port falls out of use after so many nanoseconds without a datagram (RFC 4787 4.3). */
const IDLE = 120e9;
const SWEEP = 10e9;
/** Ports at once; the one unused for longest goes first. */
export const MOST_PORTS = 512;
/** Others that one port hears from: those that it last sent to. */
const MOST_PEERS = 64;
/** Peers of a forwarded port, each of which gets a port of the gateway. */
const MOST_CLIENTS = 256;
const FIRST_PORT = 32_768;

/** A datagram as a guest sent it. */
export interface Datagram {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly data: Uint8Array;
}

/** Reads a datagram; `undefined` where it is malformed. The data are a view. */
export function parseDatagram(packet: IpPacket): Datagram | undefined {
  const { bytes, from, to } = packet;
  if (to - from < UDP_HEADER) return undefined;
  const length = getU16(bytes, from + 4);
  if (length < UDP_HEADER || from + length > to) return undefined;
  return {
    from: { address: packet.source, port: getU16(bytes, from) },
    to: { address: packet.destination, port: getU16(bytes, from + 2) },
    data: bytes.subarray(from + UDP_HEADER, from + length),
  };
}

/** Sends a datagram to a guest; `mac` where it is not to be found by its address. */
export function sendDatagram(lan: Lan, from: Endpoint, to: Endpoint, data: Uint8Array, mac?: Uint8Array): void {
  const packet = {
    source: from.address,
    destination: to.address,
    protocol: PROTOCOL.udp,
    length: UDP_HEADER + data.length,
    checksumAt: CHECKSUM_AT,
    fill(bytes: Uint8Array, at: number): void {
      setU16(bytes, at, from.port);
      setU16(bytes, at + 2, to.port);
      setU16(bytes, at + 4, UDP_HEADER + data.length);
      bytes.set(data, at + UDP_HEADER);
    },
  };
  if (mac === undefined) lan.send(packet);
  else lan.sendTo(packet, mac);
}

const name = ({ address, port }: Endpoint) => `${address} ${port}`;

/** Adds to a map that forgets its oldest entries; an entry that is there becomes the newest. */
function renew<V>(map: Map<string, V>, key: string, value: V, most: number, dropped?: (value: V) => void): void {
  map.delete(key);
  if (map.size >= most) {
    const [oldest, old] = map.entries().next().value!;
    map.delete(oldest);
    dropped?.(old);
  }
  map.set(key, value);
}

/** A guest's port and its socket. */
interface Port {
  readonly socket: HostDatagrams;
  /** Who may send to it, by the host's name for it, and what the guest calls that. */
  readonly peers: Map<string, Endpoint>;
  lastUsed: number;
}

/** Somebody who sent to a forwarded port. */
interface Client {
  readonly socket: HostDatagrams;
  readonly peer: Endpoint;
  readonly port: number;
  /** Its key in `clientPorts`. */
  readonly origin: string;
  lastUsed: number;
}

export interface UdpOptions {
  readonly lan: Lan;
  readonly host: HostNetwork;
  readonly alarms: Alarms;
  readonly routes: Routes;
}

export interface UdpFlows {
  receive(packet: IpPacket, datagram: Datagram): void;
  /** Forwards a port of the host to a guest's, wherever that is at the time. @throws VirtsError `io`. */
  forward(at: Endpoint, guest: () => Endpoint): Promise<HostDatagrams>;
  endAll(): void;
  readonly size: number;
}

export function createUdpFlows({ lan, host, alarms, routes }: UdpOptions): UdpFlows {
  const ports = new Map<string, Port>();
  /** By the guest's endpoint and the gateway's port, and by the guest's endpoint and the peer's. */
  const clients = new Map<string, Client>();
  const clientPorts = new Map<string, string>();
  let nextPort = FIRST_PORT;
  const gatewayFor = (guest: Address) => (isV6(guest) ? lan.addresses.gateway6 : lan.addresses.gateway);

  const sweep = alarms.alarm(() => {
    const limit = alarms.now() - IDLE;
    for (const [key, port] of ports) {
      if (port.lastUsed > limit) continue;
      port.socket.close();
      ports.delete(key);
    }
    for (const [key, client] of clients) if (client.lastUsed <= limit) dropClient(key, client);
    watch();
  });
  function watch(): void {
    if (ports.size + clients.size > 0) sweep.arm(alarms.now() + SWEEP);
  }

  function openPort(guest: Endpoint): Port {
    const key = name(guest);
    const found = ports.get(key);
    if (found !== undefined) {
      renew(ports, key, found, MOST_PORTS);
      return found;
    }
    const peers = new Map<string, Endpoint>();
    const socket = host.datagrams(isV6(guest.address) ? 6 : 4, (from, data) => {
      const seen = peers.get(name(from));
      if (seen === undefined) return;
      port.lastUsed = alarms.now();
      sendDatagram(lan, seen, guest, data);
    });
    const port: Port = { socket, peers, lastUsed: alarms.now() };
    renew(ports, key, port, MOST_PORTS, (old) => old.socket.close());
    watch();
    return port;
  }

  function dropClient(key: string, client: Client): void {
    clients.delete(key);
    clientPorts.delete(client.origin);
  }

  function newClient(guest: Endpoint, socket: HostDatagrams, peer: Endpoint, origin: string): Client {
    const gateway = gatewayFor(guest.address);
    let key: string;
    do {
      nextPort = nextPort >= 60_999 ? FIRST_PORT : nextPort + 1;
      key = `${name(guest)} ${gateway} ${nextPort}`;
    } while (clients.has(key));
    const client: Client = { socket, peer, port: nextPort, origin, lastUsed: alarms.now() };
    if (clients.size >= MOST_CLIENTS) {
      const [oldest, old] = clients.entries().next().value!;
      dropClient(oldest, old);
    }
    clients.set(key, client);
    clientPorts.set(origin, key);
    watch();
    return client;
  }

  /** A datagram of `peer` for the port that `socket` forwards. */
  function fromOutside(guest: Endpoint, socket: HostDatagrams, peer: Endpoint, data: Uint8Array): void {
    const origin = `${name(guest)} ${name(socket.at)} ${name(peer)}`;
    const key = clientPorts.get(origin);
    const client = (key === undefined ? undefined : clients.get(key)) ?? newClient(guest, socket, peer, origin);
    client.lastUsed = alarms.now();
    sendDatagram(lan, { address: gatewayFor(guest.address), port: client.port }, guest, data);
  }

  return {
    get size() {
      return ports.size + clients.size;
    },
    receive(packet, { from, to, data }) {
      const client = clients.get(`${name(from)} ${to.address} ${to.port}`);
      if (client !== undefined) {
        client.lastUsed = alarms.now();
        client.socket.send(client.peer, data);
        return;
      }
      const address = routes.outside(to.address);
      if (address === undefined || to.port === 0) {
        // Nobody answers for a group.
        if (lan.isOwn(to.address)) sendUnreachable(lan, packet, 'port');
        else if (!lan.isLocal(to.address)) sendUnreachable(lan, packet, 'prohibited');
        return;
      }
      const port = openPort(from);
      port.lastUsed = alarms.now();
      const target = { address, port: to.port };
      renew(port.peers, name(target), to, MOST_PEERS);
      port.socket.send(target, data);
    },
    async forward(at, guest) {
      const socket = await host.bind(at, (peer, data) => fromOutside(guest(), socket, peer, data));
      return {
        ...socket,
        close() {
          for (const [key, client] of [...clients]) if (client.socket === socket) dropClient(key, client);
          socket.close();
        },
      };
    },
    endAll() {
      for (const { socket } of ports.values()) socket.close();
      ports.clear();
      clients.clear();
      clientPorts.clear();
    },
  };
}
