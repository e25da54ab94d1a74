/** What a network needs of the host: sockets, as an ordinary user has them, and its resolver. */
import type { Address, Endpoint } from './address.ts';

/** Why a connection was not made or ended. */
export type HostError = 'refused' | 'unreachable' | 'timeout' | 'reset';

/** What happens to a connection of the host. Nothing is told after `closed`, and nothing from within a call. */
export interface ConnectionEvents {
  connected(): void;
  /** The bytes belong to whoever is told. */
  received(bytes: Uint8Array): void;
  /** The peer sends no more. */
  ended(): void;
  /** So many bytes of what was sent are in the hands of the host's kernel. */
  flushed(count: number): void;
  /** The connection is no more, by an error or by the end of both directions. */
  closed(error: HostError | undefined): void;
}

/** A TCP connection of the host. */
export interface HostConnection {
  /** Takes the bytes, which are its to keep; `flushed` tells when they are gone. */
  send(bytes: Uint8Array): void;
  /** No more follows. */
  finish(): void;
  /** Ends it by RST. */
  abort(): void;
  /** Stops and starts reading. A little may come after a pause. */
  pause(): void;
  resume(): void;
}

export interface HostListener {
  /** The address it got, its port as chosen by the host where 0 was asked for. */
  readonly at: Endpoint;
  close(): void;
}

/** A UDP socket of the host. */
export interface HostDatagrams {
  /** The bytes are its to keep. What the host cannot send is lost. */
  send(to: Endpoint, bytes: Uint8Array): void;
  readonly at: Endpoint;
  close(): void;
}

/** Takes a datagram, which is its to keep. */
export type DatagramReceiver = (from: Endpoint, bytes: Uint8Array) => void;

export interface HostNetwork {
  /** Begins to connect. */
  connect(to: Endpoint, events: ConnectionEvents): HostConnection;
  /**
   * Listens. `accepted` gets each new connection and its peer, and returns what it is to be told of; `undefined` refuses it.
   * @throws VirtsError `io` where the port is taken (its context then has the code EADDRINUSE) or the address not this host's.
   */
  listen(
    at: Endpoint,
    accepted: (connection: HostConnection, from: Endpoint) => ConnectionEvents | undefined,
  ): Promise<HostListener>;
  /** A UDP socket on a free port of any address of that version. */
  datagrams(version: 4 | 6, received: DatagramReceiver): HostDatagrams;
  /** A UDP socket on a given port. @throws VirtsError `io` as `listen` does. */
  bind(at: Endpoint, received: DatagramReceiver): Promise<HostDatagrams>;
  /** Asks the host's resolver; both are whole DNS messages. Rejects where none answers. */
  resolve(query: Uint8Array): Promise<Uint8Array>;
  /** Addresses that the host itself has noted for a name, as in its hosts file. */
  known(name: string): readonly Address[];
  /** Whether a host answers an echo request with `size` bytes of payload. Absent where the host cannot ask. */
  echo?(to: Address, size: number): Promise<boolean>;
}
