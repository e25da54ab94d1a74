/**
 * A network for guests that reaches the outside by the sockets of an ordinary user. It is the router of the guests'
 * network: frames come in and go out, and everything between is a protocol's own file.
 */
import type { TimerService } from '../base/clock.ts';
import type { Frame, FrameSink } from '../base/frame.ts';
import { type Address, ALL_NODES, ANY4, type Endpoint, isV6, parseMac } from './address.ts';
import { GATEWAY_NAME, LAN, type LanAddresses } from './addresses.ts';
import { createAlarms } from './alarms.ts';
import { askArp, receiveArp } from './arp.ts';
import { checksum, pseudoHeaderSum } from './checksum.ts';
import { PORT as DHCP_PORT } from './dhcp/message.ts';
import { createDhcpServer } from './dhcp/server.ts';
import { createNameServer } from './dns/name-server.ts';
import { openPorts } from './forward-ports.ts';
import type { HostNetwork } from './host.ts';
import { createEcho } from './icmp.ts';
import { ETHER, ETHERNET_HEADER, type IpPacket, PROTOCOL, parseIp } from './ip/packet.ts';
import { createReassembly } from './ip/reassembly.ts';
import { BROADCAST, createLan } from './lan.ts';
import { type NatState, readNatState } from './nat-state.ts';
import { ADVERTISE_EVERY, advertiseRouter, askNeighbour, receiveDiscovery } from './neighbour-discovery.ts';
import { type Access, createPolicy } from './policy.ts';
import { createRoutes } from './routes.ts';
import { createTcpFlows } from './tcp/flows.ts';
import { createUdpFlows, type Datagram, parseDatagram, sendDatagram } from './udp.ts';
import { getU16 } from './wire.ts';

export interface NatOptions {
  readonly host: HostNetwork;
  readonly timers: TimerService;
  /** Fills `bytes` with random numbers fit for keys. */
  random(bytes: Uint8Array): void;
  /** Towards the guests. */
  readonly wire: FrameSink;
  readonly access: Access;
  /** Whether the gateway's address is the host's loopback interface for guests. */
  readonly hostAccess: boolean;
  /** Whether the host reaches the outside by IPv6: if not, guests get addresses and no route. */
  readonly route6: boolean;
  /** Most bytes of an IP packet, 1500 unless told; from 1280 (RFC 8200 5) to 65,535. */
  readonly mtu?: number;
  readonly addresses?: LanAddresses;
  /** The guest's name, which DHCP tells it. */
  readonly name?: string | undefined;
  /** Addresses of a machine of the guest's network by its name, lower case; `undefined` for a name that none has. */
  peer?(name: string): readonly Address[] | undefined;
}

/** Ports of the host that lead to a guest. */
export interface Forward {
  /** The first one. */
  readonly at: Endpoint;
  /** All of them, and which of the guest's each leads to. */
  readonly ports: readonly { readonly at: Endpoint; readonly port: number }[];
  close(): void;
}

export interface ForwardRequest {
  readonly protocol: 'tcp' | 'udp';
  /** Of the host; port 0 for a free one. */
  readonly at: Endpoint;
  /** Any free port from that of `at` up to this one will do. */
  readonly upTo?: number;
  /** Of the guest. */
  readonly port: number;
  /** So many ports in a row from these on, one to one; 1 unless told. */
  readonly count?: number;
  /** The guest's address; that of the oldest lease, unless told. */
  readonly guest?: Address;
}

export interface Nat {
  /** Takes a frame from a guest. */
  receive(frame: Frame): void;
  /** After the last of some frames that came together: sends what they call for. */
  settle(): void;
  /** The wire has room again, after it refused a frame. */
  wireReady(): void;
  /** @throws VirtsError `io` where the port is taken or the address not the host's, `usage` for an access that is none. */
  forward(request: ForwardRequest): Promise<Forward>;
  /** What a network in another process needs to go on for the saved guest. */
  save(): NatState;
  /**
   * Goes on for a guest that was saved: its address is its own still, and its connections, which ended with the process that
   * had them, are reset at once. @throws VirtsError `bad-input` for what is no such state.
   */
  restore(state: unknown): void;
  /** The guests are gone or started over: ends their connections without a word to them. */
  reset(): void;
  /** Ends all that is open on the host. */
  close(): void;
  /** What it holds at the moment, by name. */
  figures(): Readonly<Record<string, number>>;
}

const DNS_PORT = 53;
/** Where a DHCP message has its client's MAC address. */
const CLIENT_MAC = 28;

/** @throws VirtsError `usage` for an access that names no hosts. */
export function createNat(options: NatOptions): Nat {
  const { host, wire, access, hostAccess, route6, mtu = 1500, addresses = LAN } = options;
  const alarms = createAlarms(options.timers);
  const policy = createPolicy(access, alarms.now);
  const lan = createLan({
    addresses,
    wire,
    alarms,
    mtu,
    solicit: (address) => (isV6(address) ? askNeighbour(lan, address) : askArp(lan, address)),
  });
  const routes = createRoutes({ lan, policy, hostAccess });
  const dhcp = createDhcpServer({
    server: addresses.gateway,
    maskBits: addresses.subnet.length,
    router: addresses.gateway,
    nameServer: addresses.nameServer,
    mtu,
    domain: addresses.domain,
    pool: addresses.pool,
    hostName: options.name,
    now: alarms.now,
  });
  const nameServer = createNameServer({ host, policy, machine: machineAddresses });
  const reassembly = createReassembly(alarms.now);
  const random32 = () => {
    const bytes = new Uint8Array(4);
    options.random(bytes);
    return new DataView(bytes.buffer).getUint32(0);
  };
  const echo = createEcho({ lan, host, hostAddress: routes.outside });
  const tcp = createTcpFlows({ lan, host, alarms, routes, nameServer, random32 });
  const udp = createUdpFlows({ lan, host, alarms, routes });
  const forwards = new Set<Forward>();

  /** Addresses of a machine of this network, by its name with or without the domain. */
  function machineAddresses(asked: string): readonly Address[] | undefined {
    const suffix = `.${addresses.domain}`;
    const name = asked.endsWith(suffix) ? asked.slice(0, -suffix.length) : asked;
    if (name === GATEWAY_NAME) return [addresses.gateway, addresses.gateway6];
    return options.peer?.(name) ?? (asked.endsWith(suffix) ? [] : undefined);
  }

  /** From the first word of IPv6 on: who never speaks it need not hear of it. */
  let advertising = false;
  const advertise = alarms.alarm(() => {
    advertiseRouter(lan, ALL_NODES, route6);
    advertise.arm(alarms.now() + ADVERTISE_EVERY);
  });

  /** Whether the payload's checksum is right, or promised by the guest's network card. */
  function sound({ bytes, from, to, source, destination, protocol }: IpPacket, frame: Frame): boolean {
    if (frame.checksumStart > 0 && bytes === frame.bytes) return true;
    if (protocol === PROTOCOL.icmp) return checksum(bytes, from, to) === 0;
    if (protocol === PROTOCOL.udp && to - from >= 8 && getU16(bytes, from + 6) === 0) return !isV6(source);
    return checksum(bytes, from, to, pseudoHeaderSum(source, destination, protocol, to - from)) === 0;
  }

  function receiveDhcp({ data }: Datagram, mac: Uint8Array): void {
    // A card asks for itself: one that asked for many would exhaust the pool.
    if (!mac.every((byte, i) => byte === data[CLIENT_MAC + i])) return;
    const answer = dhcp.receive(data);
    if (answer === undefined) return;
    const to = answer.to === 'all' ? '255.255.255.255' : answer.to;
    const from = { address: addresses.gateway, port: DHCP_PORT.server };
    sendDatagram(
      lan,
      from,
      { address: to, port: DHCP_PORT.client },
      answer.bytes,
      answer.to === 'all' ? BROADCAST : mac,
    );
  }

  async function receiveQuestion({ from, to, data }: Datagram): Promise<void> {
    const answer = await nameServer.answer(data.slice(), false);
    if (answer !== undefined) sendDatagram(lan, to, from, answer);
  }

  function receiveUdp(packet: IpPacket, mac: Uint8Array): void {
    const datagram = parseDatagram(packet);
    if (datagram === undefined) return;
    const { to } = datagram;
    if (to.port === DHCP_PORT.server && packet.version === 4 && !routes.isNameServer(to.address)) {
      receiveDhcp(datagram, mac);
    } else if (packet.source === ANY4) return;
    else if (to.port === DNS_PORT && routes.isNameServer(to.address)) void receiveQuestion(datagram);
    else udp.receive(packet, datagram);
  }

  function receiveIp(frame: Frame): void {
    const first = parseIp(frame.bytes);
    if (first === undefined) return;
    const mac = frame.bytes.subarray(6, 12);
    lan.learn(first.source, mac);
    const packet = reassembly.add(first);
    if (packet === undefined || !sound(packet, frame)) return;
    const { protocol, version } = packet;
    if (protocol === PROTOCOL.udp) receiveUdp(packet, mac);
    else if (protocol === PROTOCOL.tcp) {
      if (packet.source !== ANY4) tcp.receive(packet);
    } else if (protocol === PROTOCOL.icmp && version === 4) echo.receive(packet);
    else if (protocol === PROTOCOL.icmp6 && version === 6 && packet.to - packet.from >= 8) {
      if (!receiveDiscovery(lan, packet, route6)) echo.receive(packet);
      if (!advertising) {
        advertising = true;
        advertise.arm(alarms.now() + ADVERTISE_EVERY);
      }
    }
  }

  function open(request: ForwardRequest): Promise<Forward> {
    return openPorts(request, async (at, port) => {
      // Without a lease the guest may still have the address by its own configuration.
      const to = (): Endpoint => ({ address: request.guest ?? dhcp.leases()[0]?.address ?? addresses.pool[0]!, port });
      if (request.protocol === 'udp') return udp.forward(at, to);
      return host.listen(at, (connection) => tcp.open(to(), connection));
    });
  }

  return {
    receive(frame) {
      const { bytes } = frame;
      // For the router, or for everybody.
      if (bytes.length < ETHERNET_HEADER) return;
      if ((bytes[0]! & 1) === 0 && !lan.mac.every((byte, i) => byte === bytes[i])) return;
      if (getU16(bytes, 12) === ETHER.arp) receiveArp(lan, bytes);
      else receiveIp(frame);
    },
    settle: tcp.settle,
    wireReady: tcp.wireReady,
    async forward(request) {
      const made = await open(request);
      const forward: Forward = {
        ...made,
        close() {
          if (forwards.delete(forward)) made.close();
        },
      };
      forwards.add(forward);
      return forward;
    },
    save: () => ({ version: 1, leases: dhcp.leases(), neighbours: lan.neighbours(), connections: tcp.saved() }),
    restore(state) {
      const { leases, neighbours, connections } = readNatState(state);
      for (const lease of leases) dhcp.restore(lease);
      for (const { address, mac } of neighbours) lan.learn(address, parseMac(mac)!);
      tcp.refuseSaved(connections);
    },
    reset() {
      tcp.endAll(true);
      udp.endAll();
    },
    close() {
      for (const forward of [...forwards]) forward.close();
      tcp.endAll(true);
      udp.endAll();
      advertise.cancel();
    },
    figures: () => ({
      'TCP connections': tcp.size,
      'UDP ports': udp.size,
      'known neighbours': lan.known,
      'packets waiting for a neighbour': lan.waiting,
      'packets in part': reassembly.size,
      'questions waiting': nameServer.waiting,
      'echo requests waiting': echo.waiting,
      leases: dhcp.leases().length,
      'addresses open by name': policy.opened,
      'alarms waiting': alarms.waiting,
      'shared buffer left (KiB)': tcp.budget.left / 1024,
    }),
  };
}
