/** All streams between one guest and the host: whose packet goes where, who comes next on the wire, and who may connect. */
import type { Timer, TimerService } from '../../base/clock.ts';
import { VirtsError } from '../../base/errors.ts';
import { type Frame, type FrameSink, plainFrame } from '../../base/frame.ts';
import { decodePacket, encodePacket, OPERATION, type VsockPacket } from '../../base/vsock-packet.ts';
import { createAlarms } from '../alarms.ts';
import type { ConnectionEvents, HostConnection } from '../host.ts';
import { type Connection, type ConnectionHost, createConnection } from './connection.ts';

/** A guest that does not answer a request, or does not confirm an end, is waited for so long (ns). */
const CONNECT_PATIENCE = 5_000_000_000;
const CLOSE_PATIENCE = 8_000_000_000;
/** The host's own connections have ports from here up. */
const FIRST_PORT = 0x4000_0000;
/** Connections that are there at a time, and those among them that the guest began. */
const MOST_CONNECTIONS = 16_384;
const MOST_OF_GUEST = 1024;
/** Refusals that wait for room on the wire. A guest that takes no packets loses more than these. */
const MOST_REFUSALS = 4096;

/** Gets a new connection, from a port of the guest, and returns what it is to be told of; `undefined` refuses it. */
export type VsockReceiver = (connection: HostConnection, guestPort: number) => ConnectionEvents | undefined;

export interface Vsock {
  /** Begins to connect to a port of the guest, from 0 to 2^32 - 2. */
  connect(port: number, events: ConnectionEvents): HostConnection;
  /** Takes the guest's connections to a port of the host. @throws VirtsError `usage` where the port is taken. */
  listen(port: number, accepted: VsockReceiver): { close(): void };
  /** For the wire: what stands at its end (see `serveNetLink`). */
  receive(frame: Frame): void;
  settle(): void;
  wireReady(): void;
  reset(): void;
  /** Ends all of it. */
  close(): void;
  /** Connections whose users have not yet heard the last of them. */
  readonly size: number;
}

export interface VsockHostOptions {
  readonly wire: FrameSink;
  readonly timers: TimerService;
}

type Ports = Pick<VsockPacket, 'hostPort' | 'guestPort'>;

const keyOf = ({ hostPort, guestPort }: Ports) => `${hostPort}:${guestPort}`;

const refusal = ({ hostPort, guestPort }: Ports): VsockPacket => ({
  ...{ operation: OPERATION.reset, hostPort, guestPort, flags: 0, window: 0, consumed: 0 },
  bytes: new Uint8Array(0),
});

/** Calls `work` for each that was asked for, once and not from within the call. */
function soon<T>(work: (item: T) => void): (item: T) => void {
  let waiting = new Set<T>();
  const run = () => {
    const now = waiting;
    waiting = new Set();
    for (const item of now) work(item);
  };
  return (item) => {
    if (waiting.size === 0) Promise.resolve().then(run);
    waiting.add(item);
  };
}

/** Whose turn it is to send, a packet each, as long as the wire has room. */
function createSender(wire: FrameSink) {
  const senders = new Set<Connection>();
  const refusals = new Map<string, Ports>();
  /** A frame that the wire had no room for. */
  let stuck: Frame | undefined;

  function put(packet: VsockPacket): boolean {
    const frame = plainFrame(encodePacket(packet));
    if (!wire.send(frame)) stuck = frame;
    return stuck === undefined;
  }
  function send(): void {
    if (stuck !== undefined && !wire.send(stuck)) return;
    stuck = undefined;
    for (const [key, ports] of refusals) {
      refusals.delete(key);
      if (!put(refusal(ports))) return;
    }
    for (const connection of senders) {
      senders.delete(connection);
      const packet = connection.next();
      if (packet === undefined) continue;
      senders.add(connection);
      if (!put(packet)) return;
    }
  }
  const sendSoon = soon(send);
  return {
    send,
    wants(connection: Connection): void {
      senders.add(connection);
      sendSoon(undefined);
    },
    refuse(ports: Ports): void {
      if (refusals.size < MOST_REFUSALS) refusals.set(keyOf(ports), ports);
      sendSoon(undefined);
    },
    forget(): void {
      senders.clear();
      refusals.clear();
      stuck = undefined;
    },
  };
}

export function createVsock({ wire, timers }: VsockHostOptions): Vsock {
  const alarms = createAlarms(timers);
  const sender = createSender(wire);
  const connections = new Map<string, Connection>();
  /** Those whose users have not yet heard the last of them, with their alarms. */
  const known = new Map<Connection, Timer>();
  const begunByGuest = new Set<Connection>();
  const listeners = new Map<number, VsockReceiver>();
  let nextPort = FIRST_PORT;
  let open = true;

  const host: ConnectionHost = {
    wantsToSend: sender.wants,
    wantsToDeliver: soon((connection) => connection.deliver()),
    remove(connection, reset) {
      connections.delete(keyOf(connection));
      known.get(connection)?.cancel();
      if (reset && open) sender.refuse({ hostPort: connection.hostPort, guestPort: connection.guestPort });
    },
    connected: (connection) => known.get(connection)?.cancel(),
    closing: (connection) => known.get(connection)?.arm(timers.now() + CLOSE_PATIENCE),
    finished(connection) {
      // One that waits for the guest's confirmation is kept until that has come.
      if (connection.phase === 'gone') forget(connection);
    },
  };

  function forget(connection: Connection): void {
    known.delete(connection);
    begunByGuest.delete(connection);
  }

  function add(hostPort: number, guestPort: number, start: 'accepting' | 'connecting'): Connection {
    const connection = createConnection(hostPort, guestPort, start, host);
    connections.set(keyOf(connection), connection);
    const late = () => connection.end(connection.phase === 'connecting' ? 'timeout' : undefined, true);
    known.set(connection, alarms.alarm(late));
    return connection;
  }

  const handle = ({ send, finish, abort, pause, resume }: Connection): HostConnection => {
    return { send, finish, abort, pause, resume };
  };

  /** A port that no connection to that port of the guest has. */
  function freePort(guestPort: number): number {
    for (;;) {
      const hostPort = nextPort;
      nextPort = nextPort === 0xffff_fffe ? FIRST_PORT : nextPort + 1;
      if (!connections.has(keyOf({ hostPort, guestPort })) && !listeners.has(hostPort)) return hostPort;
    }
  }

  /** The guest asks for a connection. */
  function accept(ports: Ports, packet: VsockPacket): void {
    const accepted = listeners.get(ports.hostPort);
    const isRoom = known.size < MOST_CONNECTIONS && begunByGuest.size < MOST_OF_GUEST;
    if (accepted === undefined || !isRoom) {
      sender.refuse(ports);
      return;
    }
    const connection = add(ports.hostPort, ports.guestPort, 'accepting');
    begunByGuest.add(connection);
    connection.credit(packet);
    const events = accepted(handle(connection), ports.guestPort);
    if (events === undefined) connection.abort();
    else connection.events = events;
    sender.wants(connection);
  }

  function receive({ bytes }: Frame): void {
    const packet = decodePacket(bytes);
    const ports = { hostPort: packet.hostPort, guestPort: packet.guestPort };
    const connection = connections.get(keyOf(packet));
    if (packet.operation === OPERATION.reset) connection?.wasReset();
    else if (connection !== undefined) {
      if (!connection.receive(packet)) connection.end(connection.phase === 'connecting' ? 'refused' : 'reset', true);
    } else if (packet.operation === OPERATION.request) accept(ports, packet);
    else sender.refuse(ports);
  }

  function endAll(): void {
    for (const connection of [...connections.values()]) connection.end('reset', false);
    sender.forget();
  }

  return {
    connect(port, events) {
      const isFull = known.size >= MOST_CONNECTIONS;
      const connection = add(freePort(port), port, 'connecting');
      connection.events = events;
      if (isFull || !open) connection.end('unreachable', false);
      else {
        known.get(connection)!.arm(timers.now() + CONNECT_PATIENCE);
        sender.wants(connection);
      }
      return handle(connection);
    },
    listen(port, accepted) {
      if (listeners.has(port)) throw new VirtsError('usage', `The port ${port} of the host is listened to already.`);
      listeners.set(port, accepted);
      return { close: () => void listeners.delete(port) };
    },
    receive,
    settle() {},
    wireReady: sender.send,
    reset: endAll,
    close() {
      open = false;
      listeners.clear();
      endAll();
    },
    get size() {
      return known.size;
    },
  };
}
