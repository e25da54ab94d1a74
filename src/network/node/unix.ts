/** Connections over sockets of the file system. */
import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { VirtsError } from '../../base/errors.ts';
import type { ConnectionEvents, HostConnection } from '../host.ts';
import { socketPath } from './socket-path.ts';
import { watch, wrap } from './tcp.ts';

/** Begins to connect to a socket of the file system. */
export function connectUnix(path: string, events: ConnectionEvents): HostConnection {
  const place = socketPath(path);
  const socket = connect({ path: place.path, allowHalfOpen: true });
  // The system has looked the path up by then.
  place.close();
  watch(socket, events);
  return wrapUnix(socket, events.flushed);
}

/** Such a socket has no way to say that a connection broke. */
const wrapUnix = (socket: Socket, flushed: (count: number) => void): HostConnection => ({
  ...wrap(socket, flushed),
  abort: () => void socket.destroy(),
});

export interface UnixListener {
  /** Takes no more connections, and removes the socket. */
  close(): void;
}

const failed = (path: string, reason: string, cause?: unknown) =>
  new VirtsError('io', `The socket ${path} cannot be made: ${reason}.`, { path }, cause);

/** Whether anybody answers at a socket. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}

/** Listens; nobody but this user gets through from the first moment. */
function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const mask = process.umask(0o177);
    try {
      server.listen({ path }, resolve);
    } finally {
      process.umask(mask);
    }
  });
}

/**
 * Listens at a path of the file system, for this user alone. A socket that was left there by a program that is gone is replaced.
 * @throws VirtsError `io`.
 */
export async function listenUnix(
  path: string,
  accepted: (connection: HostConnection) => ConnectionEvents,
): Promise<UnixListener> {
  if (!existsSync(dirname(path))) throw failed(path, 'its directory does not exist');
  const place = socketPath(path);
  const server = createServer({ allowHalfOpen: true });
  server.on('connection', (socket) => {
    const events = accepted(wrapUnix(socket, (count) => events.flushed(count)));
    watch(socket, events);
  });
  try {
    await bind(server, place.path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE')
      throw failed(path, code === 'ENOENT' ? 'its directory does not exist' : `${code}`, error);
    if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true)
      throw failed(path, 'something else is there', error);
    if (await isServed(place.path)) throw failed(path, 'another program serves it', error);
    unlinkSync(path);
    await bind(server, place.path).catch((again) => {
      throw failed(path, `${(again as NodeJS.ErrnoException).code}`, again);
    });
  }
  chmodSync(path, 0o600);
  server.removeAllListeners('error');
  // A connection that could not be accepted is its peer's loss.
  server.on('error', () => {});
  return {
    close() {
      server.close();
      place.close();
    },
  };
}
