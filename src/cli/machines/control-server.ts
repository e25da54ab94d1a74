/** Serves the control socket of a machine. */
import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { fileReason, VirtsError } from '../../base/errors.ts';
import { socketPath } from '../../network/node/socket-path.ts';
import type { ConsoleHub } from '../../sdk/console-hub.ts';
import {
  type Answer,
  createLineReader,
  type Ending,
  type Event,
  errorAnswer,
  type ProcessorTime,
  Request,
  type Stats,
} from './control-protocol.ts';

/** What can be asked of a running machine. */
export interface Controlled {
  readonly console: ConsoleHub;
  /** Resolves when it has ended and all is written. */
  readonly ended: Promise<Ending>;
  /** Asks the guest to shut down, and ends it if it has not done so after so many milliseconds. */
  stop(timeout: number): Promise<Ending>;
  kill(): Promise<Ending>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Asks the guest to give up so many bytes of its memory. */
  balloon(bytes: number): Promise<void>;
  stats(): Promise<Stats>;
  processor(): Promise<ProcessorTime>;
  /** What its user was told since its start, the last of it. */
  messages(): Promise<readonly string[]>;
  /** Returns what ends it. */
  watch(listener: (event: Event) => void): () => void;
}

/** Bytes that a client may be behind the guest's output; then it loses some. */
const MOST_BEHIND = 1 << 20;

/** Makes the connection the serial port. */
function attach(socket: Socket, { console }: Controlled, recent: boolean, typed: Uint8Array): void {
  let lost = 0;
  function show(bytes: Uint8Array): void {
    if (socket.writableLength > MOST_BEHIND) {
      lost += bytes.length;
      return;
    }
    if (lost > 0) socket.write(`\r\n[virts: ${lost} bytes were left out]\r\n`);
    lost = 0;
    // The guest's memory behind the bytes may change once this function returns.
    socket.write(Uint8Array.from(bytes));
  }
  function type(bytes: Uint8Array): void {
    const taken = console.input(Uint8Array.from(bytes));
    if (taken === undefined) return;
    socket.pause();
    taken.finally(() => socket.resume());
  }
  if (recent) show(console.recent());
  const leave = console.watch(show);
  socket.on('close', leave);
  socket.on('end', () => socket.end());
  socket.on('data', type);
  if (typed.length > 0) type(typed);
}

function perform(request: Exclude<Request, { method: 'attach' }>, machine: Controlled): Promise<unknown> {
  if (request.method === 'stop') return machine.stop(request.timeout);
  if (request.method === 'balloon') return machine.balloon(request.bytes);
  if (request.method === 'wait') return machine.ended;
  if (request.method === 'watch') return Promise.resolve();
  return machine[request.method]();
}

function serve(socket: Socket, machine: Controlled): void {
  const send = (message: Answer | Event): void => {
    if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
  };
  const reader = createLineReader((line) => {
    let request: Request;
    try {
      request = Request.parse(JSON.parse(line));
    } catch (error) {
      send(errorAnswer(-1, new VirtsError('usage', 'This is no request that a machine knows.', {}, error)));
      return true;
    }
    const { id } = request;
    const answer = (result: unknown) => send({ id, result: result ?? null });
    if (request.method === 'attach') {
      answer(undefined);
      socket.off('data', onData);
      // The rest of the bytes is known when the reader returns.
      const { recent } = request;
      queueMicrotask(() => attach(socket, machine, recent, reader.rest()));
      return false;
    }
    if (request.method === 'watch') socket.on('close', machine.watch(send));
    perform(request, machine).then(answer, (error) => send(errorAnswer(id, error)));
    return true;
  });
  function onData(bytes: Buffer): void {
    if (!reader.push(bytes)) socket.destroy();
  }
  socket.on('error', () => {});
  socket.on('data', onData);
}

export interface ControlServer {
  /** Takes no more clients, and lets go of those that there are when they have what was sent to them. */
  close(): Promise<void>;
}

/** How long a client may take to read what was sent to it before the end, in milliseconds. */
const PARTING_MS = 500;

/**
 * Listens at the path, where a socket of a machine that ended without a word may be left: the caller has the machine's lock.
 * @throws VirtsError `io`.
 */
export async function serveControl(path: string, machine: Controlled): Promise<ControlServer> {
  const place = socketPath(path);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket, machine);
  });
  rmSync(path, { force: true });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(place.path, resolve);
    });
  } catch (error) {
    place.close();
    throw new VirtsError('io', `The control socket ${path} could not be made${fileReason(error)}.`, { path }, error);
  }
  server.removeAllListeners('error');
  // A client that could not be accepted tries again.
  server.on('error', () => {});
  return {
    async close() {
      // Answers that are known by now are written first.
      await new Promise<void>((resolve) => setImmediate(resolve));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.end();
      const patience = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, PARTING_MS);
      await closed;
      clearTimeout(patience);
      place.close();
    },
  };
}
