/** Joins a connection with a guest to one of the host, so that each goes as fast as the other takes it. */
import type { Timer } from '../../base/clock.ts';
import type { Alarms } from '../alarms.ts';
import type { ConnectionEvents, HostConnection, HostError } from '../host.ts';
import type { TcpConnection } from './connection.ts';
import type { CloseReason, TcpHost } from './tcb.ts';

/** How long a connection of the host may take to get rid of its last data once the guest is done, in nanoseconds. */
const LINGER = 120e9;

export interface FlowOptions {
  readonly alarms: Alarms;
  /** Makes the guest's side. */
  guest(events: Pick<TcpHost, 'opened' | 'received' | 'ended' | 'acknowledged' | 'closed'>): TcpConnection;
  /** The host is connected, where it was not from the start: the guest's side may open. */
  connected?(): void;
  /** The host could not connect. */
  failed?(error: HostError | undefined): void;
  /** Both sides are done. */
  done(): void;
}

export interface Flow {
  readonly tcp: TcpConnection;
  /** What the host's side tells. */
  readonly events: ConnectionEvents;
  /** Gives the flow its host's side. */
  attach(socket: HostConnection): void;
  /** Whether it only lingers, so that it may be given up for another. */
  readonly over: boolean;
  /** Ends both sides at once. `silent`: the guest is not told. */
  end(silent: boolean): void;
}

/** `connected`: the host's side is, and the guest's is to be opened; else it is the other way round. */
export function createFlow(options: FlowOptions, connected: boolean): Flow {
  let socket: HostConnection | undefined;
  let connecting = !connected;
  let socketDone = false;
  let guestDone = false;
  let paused = false;
  let linger: Timer | undefined;

  function finishIfDone(): void {
    if (!socketDone || !guestDone) return;
    linger?.cancel();
    options.done();
  }

  /** Stops and starts the host's side as there is room for its data. */
  function regulate(): void {
    const room = tcp.room();
    if (!paused && room <= 0) {
      paused = true;
      socket?.pause();
    } else if (paused && room > 0) {
      paused = false;
      socket?.resume();
    }
  }

  function guestClosed(reason: CloseReason): void {
    guestDone = true;
    if (!socketDone && reason !== 'done') {
      socketDone = true;
      socket?.abort();
    } else if (!socketDone) {
      linger = options.alarms.alarm(() => end(true));
      linger.arm(options.alarms.now() + LINGER);
    }
    finishIfDone();
  }

  function socketClosed(error: HostError | undefined): void {
    if (socketDone) return;
    socketDone = true;
    if (connecting) {
      guestDone = true;
      options.failed?.(error);
      tcp.forget();
    } else if (error !== undefined) {
      guestDone = true;
      tcp.abort();
    } else tcp.finish();
    finishIfDone();
  }

  function end(silent: boolean): void {
    if (!socketDone) socket?.abort();
    socketDone = true;
    guestDone = true;
    if (silent) tcp.forget();
    else tcp.abort();
    finishIfDone();
  }

  const tcp = options.guest({
    opened: () => {},
    received: (data) => {
      if (socketDone) tcp.consumed(data.length);
      else socket?.send(data);
    },
    ended() {
      if (!socketDone) socket?.finish();
    },
    acknowledged: regulate,
    closed: guestClosed,
  });

  return {
    tcp,
    attach(made) {
      socket = made;
      if (paused) made.pause();
    },
    get over() {
      return guestDone || tcp.over;
    },
    end,
    events: {
      connected() {
        if (!connecting || guestDone) return;
        connecting = false;
        options.connected?.();
      },
      received(bytes) {
        if (guestDone) return;
        tcp.send(bytes);
        regulate();
      },
      ended: () => tcp.finish(),
      flushed: (count) => tcp.consumed(count),
      closed: socketClosed,
    },
  };
}
