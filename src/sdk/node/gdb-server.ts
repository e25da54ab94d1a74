/** The GDB remote protocol over TCP, for debuggers on this host. */
import { createServer, type Server, type Socket } from 'node:net';
import { VirtsError } from '../../base/errors.ts';
import { createGdbSession, type GdbOptions } from '../../vm/gdb/session.ts';
import type { DebugTarget } from '../../vm/gdb/target.ts';

/** The protocol has no authentication: whoever reaches the port owns the guest. */
const LOOPBACK = '127.0.0.1';

export interface GdbServerOptions extends GdbOptions {
  /** TCP port of the loopback interface; 0 lets the host choose one. */
  readonly port: number;
}

export interface GdbServer {
  readonly port: number;
  /** Ends the connection, after what was sent, and takes no other. */
  close(): Promise<void>;
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = {
        EADDRINUSE: `Port ${port} of localhost is in use; choose another one for --gdb.`,
        EACCES: `Port ${port} of localhost may not be used by this user; choose one from 1024 up for --gdb.`,
      }[cause.code ?? ''];
      const message = why ?? `Port ${port} of localhost cannot be served for --gdb (${cause.code}).`;
      reject(new VirtsError('io', message, { port }, cause));
    });
    server.listen({ port, host: LOOPBACK }, resolve);
  });
}

function serve(socket: Socket, target: DebugTarget, options: GdbOptions): void {
  // Replies are small, and each is waited for.
  socket.setNoDelay(true);
  const transport = {
    send: (bytes: Uint8Array) => void (socket.writable && socket.write(bytes)),
    close: () => void socket.end(),
  };
  const session = createGdbSession(target, transport, options);
  socket.on('data', (bytes) => {
    if (typeof bytes !== 'string') session.receive(bytes);
  });
  // A connection that breaks off ends like one that is closed.
  socket.on('error', () => {});
  socket.on('close', () => session.closed());
}

/**
 * Serves one debugger at a time; a second one is turned away. The machine stops when a debugger connects.
 * @throws VirtsError `io` if the port cannot be had.
 */
export async function serveGdb(target: DebugTarget, options: GdbServerOptions): Promise<GdbServer> {
  let current: Socket | undefined;
  const server = createServer((socket) => {
    if (current !== undefined) {
      socket.destroy();
      return;
    }
    current = socket;
    socket.on('close', () => {
      current = undefined;
    });
    serve(socket, target, options);
  });
  await listen(server, options.port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close() {
      current?.end();
      return new Promise((resolve) => {
        server.close(() => resolve());
        // A debugger that does not close its side is not waited for.
        setTimeout(() => current?.destroy(), 100).unref();
      });
    },
  };
}
