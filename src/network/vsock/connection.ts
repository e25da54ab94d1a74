/**
 * One stream between the guest and the host: what waits to be sent within the guest's credit, what waits to be taken within
 * ours (virtio 1.2 5.10.6.3), and which directions have ended.
 */
import { MOST_TO_GUEST, OPERATION, SHUTDOWN, type VsockPacket } from '../../base/vsock-packet.ts';
import type { ConnectionEvents, HostError } from '../host.ts';

/** Bytes of a stream that may wait on the host for whoever reads them. */
export const WINDOW = 256 * 1024;
/** The guest is told of so much new room at the latest. */
const TELL_ROOM = WINDOW / 4;

const NOTHING = new Uint8Array(0);

/**
 * `accepting`: the guest's request has no answer yet; `connecting`: ours has none; `closing`: all is said, and the guest has
 * yet to confirm; `gone`: it is in no table any more.
 */
type Phase = 'accepting' | 'connecting' | 'open' | 'closing' | 'gone';

/** What a connection needs of those around it. All of it is done later: nothing is told from within a call. */
export interface ConnectionHost {
  /** It has something to send now. */
  wantsToSend(connection: Connection): void;
  /** `deliver` is to be called soon. */
  wantsToDeliver(connection: Connection): void;
  /** The guest has answered. */
  connected(connection: Connection): void;
  /** It is over: the guest is to be told by a reset, or knows it. */
  remove(connection: Connection, reset: boolean): void;
  /** Both directions have ended; the guest's confirmation is awaited for a while. */
  closing(connection: Connection): void;
  /** Its user has been told the last of it. */
  finished(connection: Connection): void;
}

export interface Connection {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly phase: Phase;
  /** Set before anything is told. */
  events: ConnectionEvents;
  /** What the user of the connection does (HostConnection). */
  send(bytes: Uint8Array): void;
  finish(): void;
  pause(): void;
  resume(): void;
  /** Notes what a packet of the guest says of its buffer. */
  credit(packet: Pick<VsockPacket, 'window' | 'consumed'>): void;
  /** The guest knows of it no more. */
  wasReset(): void;
  /** A packet of the guest, but no reset; `false` where it breaks the rules. */
  receive(packet: VsockPacket): boolean;
  /** The next packet for the guest, if there is any that it may get now. */
  next(): VsockPacket | undefined;
  /** Hands on what waits. */
  deliver(): void;
  /** Ends it; `error` is told, after what was received if there is none. `reset`: the guest is to be told, too. */
  end(error: HostError | undefined, reset: boolean): void;
  /** Ends it for a user who wants to hear no more of it than that. */
  abort(): void;
}

export function createConnection(
  hostPort: number,
  guestPort: number,
  start: 'accepting' | 'connecting',
  host: ConnectionHost,
): Connection {
  let phase: Phase = start;
  /** The packet that comes before all others. */
  let due: number | undefined = start === 'accepting' ? OPERATION.response : OPERATION.request;
  let tellCredit = false;
  let askCredit = false;

  /** Bytes sent, and what the guest said last: its buffer and what it has taken. */
  let sent = 0;
  let guestWindow = 0;
  let guestConsumed = 0;
  const outgoing: Uint8Array[] = [];
  let finishing = false;
  let told = 0;
  /** The guest receives no more, or sends no more. */
  let deaf = false;
  let mute = false;

  /** Bytes received, handed on, and told to be. */
  let received = 0;
  let consumed = 0;
  let toldConsumed = 0;
  const incoming: Uint8Array[] = [];
  let paused = false;
  let endTold = false;
  let flushed = 0;
  let connectedTold = start === 'accepting';
  let outcome: { readonly error: HostError | undefined } | undefined;
  let closedTold = false;

  const room = () => Math.max(0, guestWindow - ((sent - guestConsumed) >>> 0));

  function packet(operation: number, bytes: Uint8Array = NOTHING, flags = 0): VsockPacket {
    toldConsumed = consumed;
    tellCredit = false;
    return { operation, hostPort, guestPort, flags, window: WINDOW, consumed: consumed >>> 0, bytes };
  }

  /** As many bytes as one packet and the guest's credit take. */
  function nextData(): VsockPacket | undefined {
    const limit = Math.min(MOST_TO_GUEST, room());
    const first = outgoing[0];
    if (first === undefined) return undefined;
    if (limit === 0) {
      const ask = askCredit;
      askCredit = false;
      return ask ? packet(OPERATION.creditRequest) : undefined;
    }
    const part = first.subarray(0, limit);
    if (part.length === first.length) outgoing.shift();
    else outgoing[0] = first.subarray(part.length);
    sent = (sent + part.length) >>> 0;
    askCredit = true;
    flushedSome(part.length);
    return packet(OPERATION.data, part);
  }

  function flushedSome(count: number): void {
    flushed += count;
    host.wantsToDeliver(connection);
  }

  function dropOutgoing(): void {
    const count = outgoing.reduce((sum, { length }) => sum + length, 0);
    outgoing.length = 0;
    if (count > 0) flushedSome(count);
  }

  /** Which directions have ended, as the guest is to be told: nothing where it was told before. */
  function shutdownDue(): number {
    const flags =
      !finishing || outgoing.length > 0 ? 0 : mute && endTold ? SHUTDOWN.send | SHUTDOWN.receive : SHUTDOWN.send;
    return (flags & ~told) === 0 ? 0 : flags;
  }

  /** Ends when nothing is left to say in either direction. */
  function settle(): void {
    const isOver = phase === 'open' && mute && endTold && finishing && outgoing.length === 0;
    if (!isOver) return;
    phase = 'closing';
    outcome = { error: undefined };
    host.closing(connection);
    host.wantsToSend(connection);
    host.wantsToDeliver(connection);
  }

  function receiveShutdown(flags: number): void {
    if ((flags & SHUTDOWN.receive) !== 0 && !deaf) {
      deaf = true;
      dropOutgoing();
    }
    if ((flags & SHUTDOWN.send) !== 0) mute = true;
    host.wantsToDeliver(connection);
    // A guest that has closed its socket waits for this; what it sent is here.
    if (deaf && mute) connection.end(undefined, true);
  }

  function receiveData(bytes: Uint8Array): boolean {
    if (mute || received - consumed + bytes.length > WINDOW) return false;
    received += bytes.length;
    if (bytes.length > 0) incoming.push(bytes);
    host.wantsToDeliver(connection);
    return true;
  }

  /** What the user is told in the end: after all that was received. */
  function tellEnd(): void {
    if (incoming.length > 0) return;
    if (mute && !endTold) {
      endTold = true;
      connection.events.ended();
    }
    if (outcome !== undefined && !closedTold) {
      closedTold = true;
      connection.events.closed(outcome.error);
      host.finished(connection);
    }
  }

  const connection: Connection = {
    hostPort,
    guestPort,
    get phase() {
      return phase;
    },
    events: { connected() {}, received() {}, ended() {}, flushed() {}, closed() {} },
    send(bytes) {
      if (finishing || outcome !== undefined || bytes.length === 0) return;
      if (deaf) flushedSome(bytes.length);
      else outgoing.push(bytes);
      host.wantsToSend(connection);
    },
    finish() {
      if (finishing || outcome !== undefined) return;
      finishing = true;
      host.wantsToSend(connection);
      settle();
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      host.wantsToDeliver(connection);
    },
    credit({ window, consumed: taken }) {
      guestWindow = window;
      guestConsumed = taken;
    },
    wasReset() {
      // Whoever has said all and heard all has lost nothing.
      const isClean = phase === 'closing' || (mute && finishing && outgoing.length === 0);
      connection.end(phase === 'connecting' ? 'refused' : isClean ? undefined : 'reset', false);
    },
    receive(from) {
      connection.credit(from);
      if (from.operation === OPERATION.response) {
        if (phase !== 'connecting' || due !== undefined) return false;
        phase = 'open';
        host.wantsToDeliver(connection);
      } else if (from.operation === OPERATION.request || phase === 'connecting' || phase === 'accepting') return false;
      else if (from.operation === OPERATION.shutdown) receiveShutdown(from.flags);
      else if (from.operation === OPERATION.data && !receiveData(from.bytes)) return false;
      else if (from.operation === OPERATION.creditRequest) tellCredit = true;
      host.wantsToSend(connection);
      return true;
    },
    next() {
      if (phase === 'gone') return undefined;
      if (due !== undefined) {
        const operation = due;
        due = undefined;
        if (operation === OPERATION.response) phase = 'open';
        return packet(operation);
      }
      if (phase === 'connecting') return undefined;
      const data = nextData();
      if (data !== undefined) return data;
      settle();
      const flags = shutdownDue();
      if (flags !== 0) {
        told |= flags;
        return packet(OPERATION.shutdown, NOTHING, flags);
      }
      return tellCredit ? packet(OPERATION.creditUpdate) : undefined;
    },
    deliver() {
      if (closedTold) return;
      if (!connectedTold && phase === 'open') {
        connectedTold = true;
        host.connected(connection);
        connection.events.connected();
      }
      while (!paused && incoming.length > 0) {
        const bytes = incoming.shift()!;
        consumed += bytes.length;
        connection.events.received(bytes);
      }
      if (flushed > 0) {
        const count = flushed;
        flushed = 0;
        connection.events.flushed(count);
      }
      if (consumed - toldConsumed >= TELL_ROOM && phase === 'open') {
        tellCredit = true;
        host.wantsToSend(connection);
      }
      tellEnd();
      settle();
    },
    end(error, reset) {
      if (phase === 'gone') return;
      phase = 'gone';
      outcome ??= { error };
      outgoing.length = 0;
      if (error !== undefined) incoming.length = 0;
      host.remove(connection, reset);
      if (closedTold) host.finished(connection);
      else host.wantsToDeliver(connection);
    },
    abort() {
      incoming.length = 0;
      endTold = true;
      paused = false;
      connection.end(undefined, true);
    },
  };
  return connection;
}
