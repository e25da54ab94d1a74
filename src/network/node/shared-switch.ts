/**
 * A switch that machines in several processes share, through a Unix socket in a directory. One of the processes serves it:
 * whoever has the lock of a file there, which the host takes back however that process ends; then another serves.
 */
import { unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { VirtsError } from '../../base/errors.ts';
import type { FrameSink } from '../../base/frame.ts';
import { type FileLock, tryLock } from '../../storage/file-lock.ts';
import { formatMac, type Mac, parseMac } from '../address.ts';
import { createSwitch, type SwitchPort } from '../switch.ts';
import { openFrameSocket } from './frame-socket.ts';

const SOCKET = 'switch.sock';
const LOCK = 'switch.lock';
/** What both sides say first; it changes when what follows does. The client's MAC address comes after it. */
const HELLO = Buffer.from('virts switch 1\n');
const MAC_BYTES = 6;
/** Bytes of a Unix socket's path on every host, its end included (Linux: 108, macOS: 104). */
const MOST_PATH = 103;
/** Milliseconds: for the first answer, and between two tries. */
const PATIENCE = 5000;
const PAUSE = 25;

const ALL = { checksum: true, segments4: true, segments6: true };

/** Reads exactly `count` bytes and leaves the rest in the socket. Rejects where they do not come. */
function readFirst(socket: Socket, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const end = () => {
      socket.off('data', take);
      socket.off('close', fail);
      socket.setTimeout(0);
    };
    const fail = () => {
      end();
      socket.destroy();
      reject(new Error('The other side of the switch fell silent.'));
    };
    const take = (bytes: Buffer) => {
      got = Buffer.concat([got, bytes]);
      if (got.length < count) return;
      end();
      socket.pause();
      if (got.length > count) socket.unshift(got.subarray(count));
      resolve(got.subarray(0, count));
    };
    socket.on('data', take);
    socket.on('close', fail);
    socket.setTimeout(PATIENCE, fail);
  });
}

/** Serves the switch at a path that is free. Rejects as the host's `listen` does. */
export function serveSwitch(path: string): Promise<{ close(): void }> {
  const fabric = createSwitch();
  const sockets = new Set<Socket>();

  async function attach(socket: Socket): Promise<void> {
    const first = await readFirst(socket, HELLO.length + MAC_BYTES);
    if (!HELLO.equals(first.subarray(0, HELLO.length))) throw new Error('It speaks something else.');
    if (socket.destroyed) return;
    socket.write(HELLO);
    const frames = openFrameSocket(socket, (frame) => port.receive(frame));
    const port = fabric.attach({
      mac: formatMac(first, HELLO.length),
      sink: { send: frames.send, offloads: () => ALL },
    });
    socket.on('close', port.leave);
    socket.resume();
  }

  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    attach(socket).catch(() => socket.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      // Who could not be accepted tries again.
      server.on('error', () => {});
      resolve({
        close() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}

/** Connects to the switch at `path`; `undefined`: nobody serves it. @throws VirtsError `unsupported` for another version's. */
async function connectTo(path: string, mac: Mac): Promise<Socket | undefined> {
  const socket = connect(path);
  socket.on('error', () => {});
  const connected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('close', () => resolve(false));
  });
  if (!connected) return undefined;
  socket.write(Buffer.concat([HELLO, parseMac(mac)!]));
  const answer = await readFirst(socket, HELLO.length).catch(() => undefined);
  if (answer === undefined || HELLO.equals(answer)) return answer && socket;
  socket.destroy();
  throw new VirtsError(
    'unsupported',
    'The network is served by another version of Virts; end its machines, and start them anew with one version.',
    { path },
  );
}

export interface SharedSwitch {
  /** Plugs the machine in. */
  plug(sink: FrameSink): SwitchPort;
  /** Whether this process serves the others. */
  readonly serves: boolean;
  /** Whether frames get through at the moment. */
  readonly connected: boolean;
  close(): void;
}

/**
 * Joins the switch of a directory with one card, and serves it when nobody else does, now and later.
 * @throws VirtsError `io`, `unsupported`.
 */
export async function openSharedSwitch(directory: string, mac: Mac): Promise<SharedSwitch> {
  const path = join(directory, SOCKET);
  if (Buffer.byteLength(path) > MOST_PATH) {
    const message = `The path ${path} is too long for a socket (${MOST_PATH} bytes); set XDG_STATE_HOME to a shorter one.`;
    throw new VirtsError('io', message, { path });
  }
  let open = true;
  let sink: FrameSink | undefined;
  let lock: FileLock | undefined;
  let server: { close(): void } | undefined;
  let socket: Socket | undefined;
  let frames: ReturnType<typeof openFrameSocket> | undefined;

  /** Becomes the one that serves, if nobody is. */
  async function serve(): Promise<void> {
    lock = tryLock(join(directory, LOCK));
    if (lock === undefined) return;
    try {
      // Of a process that is gone: nobody else may bind here while the lock is held.
      await unlink(path).catch(() => {});
      server = await serveSwitch(path);
    } catch (error) {
      lock.release();
      lock = undefined;
      throw error;
    }
    if (!open) stopServing();
  }

  function stopServing(): void {
    server?.close();
    lock?.release();
    server = undefined;
    lock = undefined;
  }

  /** Connects, serving if need be. */
  async function link(): Promise<void> {
    const made = await connectTo(path, mac);
    if (made === undefined) {
      if (lock === undefined) await serve();
      return;
    }
    if (!open || made.destroyed) {
      made.destroy();
      return;
    }
    socket = made;
    frames = openFrameSocket(made, (frame) => sink?.send(frame));
    made.on('close', () => {
      socket = undefined;
      frames = undefined;
      if (open) void keepLinked();
    });
    made.resume();
  }

  /** Until there is a connection. What goes wrong meanwhile may be right at the next try: the directory may be full. */
  async function keepLinked(): Promise<void> {
    for (let tries = 0; open && socket === undefined; tries++) {
      try {
        await link();
      } catch {
        stopServing();
      }
      if (open && socket === undefined)
        await setTimeout(Math.min(1000, PAUSE * (tries + 1)), undefined, { ref: false });
    }
  }

  for (const until = performance.now() + PATIENCE; socket === undefined; ) {
    try {
      await link();
    } catch (error) {
      stopServing();
      if (error instanceof VirtsError) throw error;
      throw new VirtsError(
        'io',
        `The network's socket ${path} cannot be had (${String((error as NodeJS.ErrnoException).code)}).`,
        { path },
        error,
      );
    }
    if (socket !== undefined) break;
    if (performance.now() > until) {
      throw new VirtsError(
        'io',
        `The process that serves the network at ${directory} does not answer; end its machine.`,
        { path },
      );
    }
    if (server === undefined) await setTimeout(PAUSE);
  }

  return {
    get serves() {
      return server !== undefined;
    },
    get connected() {
      return socket !== undefined;
    },
    plug(given) {
      sink = given;
      return {
        receive: (frame) => void frames?.send(frame),
        leave() {
          sink = undefined;
        },
      };
    },
    close() {
      open = false;
      socket?.destroy();
      stopServing();
    },
  };
}
