/** TCP connections of the host, by Node's sockets. */
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { type Address, canonicalAddress, type Endpoint } from '../address.ts';
import type { ConnectionEvents, HostConnection, HostListener, HostNetwork } from '../host.ts';
import { hostError, listenError } from './errors.ts';

/** A peer that is gone for good is noticed some time (ms) after it fell silent. */
const KEEP_ALIVE_MS = 600_000;

/** Tells what happens to a socket. */
export function watch(socket: Socket, events: ConnectionEvents): void {
  let failure: unknown;
  socket.on('connect', () => events.connected());
  socket.on('data', (bytes) => {
    if (typeof bytes !== 'string') events.received(bytes);
  });
  socket.on('end', () => events.ended());
  socket.on('error', (error) => {
    failure = error;
  });
  socket.on('close', () => events.closed(failure === undefined ? undefined : hostError(failure)));
}

/** A socket as a connection. */
export function wrap(socket: Socket, flushed: (count: number) => void): HostConnection {
  return {
    send(bytes) {
      if (socket.destroyed) return;
      socket.write(bytes, (error) => {
        if (error === null || error === undefined) flushed(bytes.length);
      });
    },
    finish: () => void socket.end(),
    abort: () => void socket.resetAndDestroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}

/** Begins to connect. */
export function connect({ address, port }: Endpoint, events: ConnectionEvents): HostConnection {
  const socket = connectSocket({
    ...{ host: address, port, autoSelectFamily: false },
    ...{ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
  });
  watch(socket, events);
  return wrap(socket, events.flushed);
}

/** An address as a socket tells it: of IPv4 in IPv6's form where one socket serves both. */
export function toldAddress(text: string | undefined): Address {
  const [address] = (text ?? '').split('%');
  return canonicalAddress(address!) ?? '0.0.0.0';
}

/** Listens. @throws VirtsError `io`. */
export const listen: HostNetwork['listen'] = (at, accepted) => {
  return new Promise<HostListener>((resolve, reject) => {
    const server = createServer({
      ...{ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
    });
    server.on('connection', (socket) => {
      let events: ConnectionEvents | undefined;
      const from = { address: toldAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
      events = accepted(
        wrap(socket, (count) => events?.flushed(count)),
        from,
      );
      if (events === undefined) {
        // Nobody listens to its errors any more.
        socket.on('error', () => {});
        socket.resetAndDestroy();
        return;
      }
      watch(socket, events);
    });
    server.once('error', (error) => reject(listenError(error, at, 'TCP')));
    server.listen({ host: at.address, port: at.port, ipv6Only: true }, () => {
      server.removeAllListeners('error');
      // A connection that could not be accepted is its peer's loss.
      server.on('error', () => {});
      const told = server.address();
      const port = typeof told === 'object' && told !== null ? told.port : at.port;
      resolve({ at: { address: at.address, port }, close: () => void server.close() });
    });
  });
};
