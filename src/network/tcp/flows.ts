/** All TCP connections of a network's guests, to outside hosts and from forwarded ports. */
import { type Address, type Endpoint, isV6 } from '../address.ts';
import type { Alarms } from '../alarms.ts';
import { type Budget, createBudget } from '../budget.ts';
import type { NameServer } from '../dns/name-server.ts';
import { connectToNameServer } from '../dns/stream.ts';
import type { ConnectionEvents, HostConnection, HostNetwork } from '../host.ts';
import { sendUnreachable } from '../icmp.ts';
import { type IpPacket, PROTOCOL } from '../ip/packet.ts';
import type { Lan } from '../lan.ts';
import type { Routes } from '../routes.ts';
import { createConnection, type TcpConnection } from './connection.ts';
import { createFlow, type Flow } from './flow.ts';
import {
  advance,
  FLAG,
  headerLength,
  type OutSegment,
  parseSegment,
  type Segment,
  TCP_HEADER,
  writeSegment,
} from './segment.ts';
import type { TcpHost } from './tcb.ts';

/** Connections at once, and those among them that the host has not made yet. */
export const MOST_FLOWS = 1024;
const MOST_CONNECTING = 512;
/** Bytes that all connections together may hold beyond their own part. */
const SHARED_BUFFER = 64 * 1024 * 1024;
/** Ports of the gateway for connections to guests. */
const FIRST_PORT = 32_768;
const LAST_PORT = 60_999;
const CHECKSUM_AT = 16;
const DNS_PORT = 53;

export interface TcpFlowsOptions {
  readonly lan: Lan;
  readonly host: HostNetwork;
  readonly alarms: Alarms;
  readonly routes: Routes;
  readonly nameServer: NameServer;
  random32(): number;
}

export interface TcpFlows {
  /** Takes a TCP packet whose checksum is right. */
  receive(packet: IpPacket): void;
  /** Connects to a guest for a connection that a forwarded port accepted; `undefined` where there are too many. */
  open(guest: Endpoint, connection: HostConnection): ConnectionEvents | undefined;
  /** Sends the acknowledgements that `receive` left to be sent together. */
  settle(): void;
  /** The wire has room again. */
  wireReady(): void;
  /** Tells guests by RST that connections are no more which were open when their machine was saved. */
  refuseSaved(connections: readonly SavedConnection[]): void;
  /** Ends all. `silent`: their guests are not told, because they are gone. */
  endAll(silent: boolean): void;
  /** Those that are open, as they stand. */
  saved(): SavedConnection[];
  readonly size: number;
  readonly budget: Budget;
}

/** An open connection of a guest, from which its end follows. */
export interface SavedConnection {
  readonly guest: Endpoint;
  readonly other: Endpoint;
  /** What the guest expects next, unless it is still under way, and what it sends next. */
  readonly sequence: number;
  readonly acknowledgement: number;
}

export function createTcpFlows(options: TcpFlowsOptions): TcpFlows {
  const { lan, host, alarms, routes, random32 } = options;
  const flows = new Map<string, Flow>();
  /** Flows that have something to send at the next `settle`, or when the wire has room. */
  let touched = new Set<Flow>();
  let blocked = new Set<Flow>();
  let connecting = 0;
  let nextPort = FIRST_PORT;
  const budget = createBudget(SHARED_BUFFER);

  const key = (guest: Address, guestPort: number, other: Address, otherPort: number) =>
    `${guest} ${guestPort} ${other} ${otherPort}`;

  function send(from: Endpoint, to: Endpoint, segment: OutSegment, mss: number): boolean {
    const length = headerLength(segment) + segment.length;
    return lan.send({
      source: from.address,
      destination: to.address,
      protocol: PROTOCOL.tcp,
      length,
      checksumAt: CHECKSUM_AT,
      ...(segment.length > mss ? { segmentSize: mss } : {}),
      fill: (bytes, at) => writeSegment(bytes, at, segment, from.port, to.port),
    });
  }

  /** Answers a segment that belongs to no connection (RFC 9293 3.10.7.1). */
  function refuse(packet: IpPacket, segment: Segment): void {
    const { flags, data } = segment;
    if ((flags & FLAG.rst) !== 0) return;
    const acknowledges = (flags & FLAG.ack) !== 0;
    const length = data.length + (flags & FLAG.syn ? 1 : 0) + (flags & FLAG.fin ? 1 : 0);
    send(
      { address: packet.destination, port: segment.destinationPort },
      { address: packet.source, port: segment.sourcePort },
      {
        sequence: acknowledges ? segment.acknowledgement : 0,
        acknowledgement: acknowledges ? 0 : advance(segment.sequence, length),
        flags: acknowledges ? FLAG.rst : FLAG.rst | FLAG.ack,
        window: 0,
        length: 0,
      },
      0xffff,
    );
  }

  /** The guest's side of a flow. */
  function guestSide(id: string, guest: Endpoint, other: Endpoint) {
    const header = (isV6(guest.address) ? 40 : 20) + TCP_HEADER;
    let mss = 0;
    return (events: Pick<TcpHost, 'opened' | 'received' | 'ended' | 'acknowledged' | 'closed'>): TcpConnection =>
      createConnection(
        {
          ...events,
          alarms,
          budget,
          longest(size) {
            mss = size;
            const { segments4, segments6 } = lan.wire.offloads();
            const whole = isV6(guest.address) ? segments6 : segments4;
            return whole ? Math.floor((0xffff - header) / size) * size : size;
          },
          emit(segment) {
            const sent = send(other, guest, segment, mss === 0 ? 0xffff : mss);
            const flow = flows.get(id);
            if (!sent && flow !== undefined) blocked.add(flow);
            return sent;
          },
        },
        lan.mtu - header,
        random32(),
      );
  }

  /** Makes room for one more, at the cost of one that only lingers. */
  function makeRoom(): boolean {
    if (flows.size < MOST_FLOWS) return true;
    for (const flow of flows.values()) {
      if (!flow.over) continue;
      flow.end(true);
      return true;
    }
    return false;
  }

  function remove(id: string, flow: Flow): void {
    if (flows.get(id) === flow) flows.delete(id);
    touched.delete(flow);
    blocked.delete(flow);
  }

  /** A guest's SYN: the host connects, and only then the guest hears of it. */
  function begin(packet: IpPacket, syn: Segment): void {
    const { source, destination } = packet;
    const isNames = routes.isNameServer(destination) && syn.destinationPort === DNS_PORT;
    const address = isNames ? destination : routes.outside(destination);
    if (address === undefined || !makeRoom()) {
      refuse(packet, syn);
      return;
    }
    // The guest asks again when others have been connected.
    if (connecting >= MOST_CONNECTING) return;
    connecting++;
    const id = key(source, syn.sourcePort, destination, syn.destinationPort);
    const other = { address: destination, port: syn.destinationPort };
    let pending = true;
    const settled = () => {
      if (pending) connecting--;
      pending = false;
    };
    const flow = createFlow(
      {
        alarms,
        guest: guestSide(id, { address: source, port: syn.sourcePort }, other),
        connected() {
          settled();
          flow.tcp.accept(syn);
        },
        failed(error) {
          if (error === 'refused' || error === 'reset') refuse(packet, syn);
          else if (error === 'unreachable') sendUnreachable(lan, packet, 'host');
        },
        done() {
          settled();
          remove(id, flow);
        },
      },
      false,
    );
    flows.set(id, flow);
    flow.attach(
      isNames
        ? connectToNameServer(options.nameServer, flow.events)
        : host.connect({ address, port: syn.destinationPort }, flow.events),
    );
  }

  /** A port of the gateway that no connection to this guest's port uses. */
  function freePort(guest: Endpoint, gateway: Address): number | undefined {
    for (let tried = 0; tried <= MOST_FLOWS; tried++) {
      const port = nextPort;
      nextPort = nextPort === LAST_PORT ? FIRST_PORT : nextPort + 1;
      if (!flows.has(key(guest.address, guest.port, gateway, port))) return port;
    }
    return undefined;
  }

  return {
    get size() {
      return flows.size;
    },
    budget,
    receive(packet) {
      const segment = parseSegment(packet.bytes, packet.from, packet.to);
      if (segment === undefined) return;
      const id = key(packet.source, segment.sourcePort, packet.destination, segment.destinationPort);
      const flow = flows.get(id);
      const isSyn = (segment.flags & (FLAG.syn | FLAG.ack | FLAG.rst)) === FLAG.syn;
      if (flow === undefined || (isSyn && flow.over)) {
        // A port may be used again as soon as the guest dares to (RFC 9293 3.6.1).
        flow?.end(true);
        if (isSyn) begin(packet, segment);
        else refuse(packet, segment);
        return;
      }
      flow.tcp.arrive(segment);
      touched.add(flow);
    },
    open(guest, connection) {
      const gateway = isV6(guest.address) ? lan.addresses.gateway6 : lan.addresses.gateway;
      const port = makeRoom() ? freePort(guest, gateway) : undefined;
      if (port === undefined) return undefined;
      const id = key(guest.address, guest.port, gateway, port);
      const flow: Flow = createFlow(
        { alarms, guest: guestSide(id, guest, { address: gateway, port }), done: () => remove(id, flow) },
        true,
      );
      flows.set(id, flow);
      flow.attach(connection);
      flow.tcp.connect();
      return flow.events;
    },
    settle() {
      const flush = touched;
      if (flush.size === 0) return;
      touched = new Set();
      for (const flow of flush) flow.tcp.pump();
    },
    wireReady() {
      const waiting = blocked;
      if (waiting.size === 0) return;
      blocked = new Set();
      for (const flow of waiting) flow.tcp.pump();
      // Who was served first this time is last the next time.
      const [first] = waiting;
      if (first !== undefined && blocked.delete(first)) blocked.add(first);
    },
    saved() {
      return [...flows].flatMap(([id, { tcp }]) => {
        const position = tcp.position();
        const [address, port, otherAddress, otherPort] = id.split(' ');
        if (position === undefined) return [];
        const [guest, other] = [
          { address: address!, port: Number(port) },
          { address: otherAddress!, port: Number(otherPort) },
        ];
        return [{ guest, other, ...position }];
      });
    },
    refuseSaved(connections) {
      for (const { guest, other, sequence, acknowledgement } of connections) {
        const segment = { sequence, acknowledgement, flags: FLAG.rst | FLAG.ack, window: 0, length: 0 };
        send(other, guest, segment, 0xffff);
      }
    },
    endAll(silent) {
      for (const flow of [...flows.values()]) flow.end(silent);
    },
  };
}
