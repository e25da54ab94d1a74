/** A TCP connection with a guest: one end of RFC 9293, as the network's sockets use it. */
import { arrive, takeSyn } from './input.ts';
import { pump, rest, sendProbe, sendReset, sendSyn } from './output.ts';
import { consumed } from './receive.ts';
import { MOST_RETRIES, timedOut } from './recovery.ts';
import type { Segment } from './segment.ts';
import { BASE_BUFFER, type CloseReason, createTcb, type Tcb, type TcpHost } from './tcb.ts';

/** How long a connection that we closed first answers late segments, in nanoseconds. No wire here delays one for longer. */
const TIME_WAIT = 5e9;
/** How long a guest may be silent before it is asked whether it still knows of the connection. */
const KEEP_ALIVE = 15 * 60e9;
/** Tries to open one: the last after some half a minute. */
const MOST_SYNS = 5;

export interface TcpConnection {
  /** Whether it is over, or only answers late segments. */
  readonly over: boolean;
  /** The wire had no room for what was to be sent. */
  readonly blocked: boolean;
  /** Opens it towards the guest. */
  connect(): void;
  /** Opens it after the guest's SYN. */
  accept(syn: Segment): void;
  arrive(segment: Segment): void;
  /** Sends what waits: after `arrive`, and when the wire has room again. */
  pump(): void;
  /** Data for the guest; `room` says how much of it is welcome. */
  send(data: Uint8Array): void;
  room(): number;
  /** The host took so many bytes of what it was handed. */
  consumed(count: number): void;
  /** Where it stands while it is open: the next numbers to send and to come; `undefined` where an RST would have no use. */
  position(): { readonly sequence: number; readonly acknowledgement: number } | undefined;
  /** No more data follows. */
  finish(): void;
  /** Ends it by RST; nobody is told. */
  abort(): void;
  /** Ends it in silence; nobody is told. */
  forget(): void;
}

/** `ownMss`: the largest payload that the guest may send in a segment. */
export function createConnection(host: TcpHost, ownMss: number, initialSequence: number): TcpConnection {
  const t: Tcb = createTcb(host, initialSequence);
  t.timer = host.alarms.alarm(fire);

  function close(_: Tcb, reason: CloseReason): void {
    if (t.phase === 'closed') return;
    forget();
    host.closed(reason);
  }

  function forget(): void {
    t.phase = 'closed';
    t.timer?.cancel();
    t.queue.drop(t.queue.length);
    t.early.length = 0;
    host.budget.give(t.sendLimit.bytes + t.receiveLimit.bytes - 2 * BASE_BUFFER);
    t.sendLimit.bytes = BASE_BUFFER;
    t.receiveLimit.bytes = BASE_BUFFER;
  }

  function fire(): void {
    if (t.phase === 'time-wait') {
      close(t, 'done');
    } else if (t.phase === 'syn-sent' || t.phase === 'syn-received') {
      if (++t.retries > MOST_SYNS) close(t, 'timeout');
      else {
        t.timeout *= 2;
        t.timedSince = 0;
        sendSyn(t, ownMss);
      }
    } else if (t.phase === 'open') {
      if (t.sendNext === t.sendOldest && !t.probing && t.queue.length === 0) keepAlive();
      else if (!timedOut(t)) giveUp();
    }
  }

  function giveUp(): void {
    sendReset(t);
    close(t, 'timeout');
  }

  /** Nothing is outstanding. A guest that was started anew answers by RST. */
  function keepAlive(): void {
    const silent = host.alarms.now() - t.lastHeard;
    if (silent < KEEP_ALIVE) {
      t.retries = 0;
      rest(t);
    } else if (++t.retries > MOST_RETRIES) giveUp();
    else {
      sendProbe(t);
      rest(t);
    }
  }

  /** After every event: are both directions done? */
  function settle(): void {
    if (t.phase !== 'open') return;
    if (!t.finReceived || !t.finAcknowledged) return;
    // Whoever closed first waits (RFC 9293 3.6).
    if (t.closedFirst) {
      t.phase = 'time-wait';
      t.timer!.arm(host.alarms.now() + TIME_WAIT);
    } else close(t, 'done');
  }

  function pumpAndSettle(): void {
    pump(t);
    settle();
  }

  return {
    get over() {
      return t.phase === 'closed' || t.phase === 'time-wait';
    },
    get blocked() {
      return t.blocked;
    },
    connect() {
      t.phase = 'syn-sent';
      sendSyn(t, ownMss);
    },
    accept(syn) {
      t.phase = 'syn-received';
      takeSyn(t, syn, ownMss);
      sendSyn(t, ownMss);
    },
    arrive: (segment) => arrive(t, segment, ownMss, close),
    pump: pumpAndSettle,
    send(data) {
      if (t.phase === 'closed' || t.finishing) return;
      t.queue.append(data);
      pumpAndSettle();
    },
    room: () => t.sendLimit.bytes - t.queue.length,
    position: () => (t.phase === 'open' ? { sequence: t.sendNext, acknowledgement: t.receiveNext } : undefined),
    consumed: (count) => consumed(t, count),
    finish() {
      if (t.finishing) return;
      t.finishing = true;
      pumpAndSettle();
    },
    abort() {
      if (t.phase === 'closed') return;
      if (t.phase !== 'time-wait') sendReset(t);
      forget();
    },
    forget() {
      if (t.phase !== 'closed') forget();
    },
  };
}
