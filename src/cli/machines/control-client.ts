/** The other end of the control socket of a machine. */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type * as z from 'zod';
import { VirtsError } from '../../base/errors.ts';
import { socketPath } from '../../network/node/socket-path.ts';
import type { ConsolePort } from '../../sdk/console-hub.ts';
import { Answer, createLineReader, Event, type Request } from './control-protocol.ts';
import { FILES } from './files.ts';
import { isUp, type MachineRecord, nameOf, statusOf } from './state-directory.ts';

/** How often a machine that starts is looked at, in milliseconds. */
const LOOK_MS = 20;

type Asked<R> = R extends { readonly id: number } ? Omit<R, 'id'> : never;

export interface ControlClient {
  /** @throws VirtsError what the machine's process says, or `io` when it is gone meanwhile. */
  request<T>(request: Asked<Request>, result: z.ZodType<T>): Promise<T>;
  /** After `watch` was requested. */
  onEvent(listener: (event: Event) => void): void;
  /** Resolves when the connection is closed by the other side. */
  readonly closed: Promise<void>;
  close(): void;
}

export interface AttachedConsole extends ConsolePort {
  /** Resolves when the machine is gone. */
  readonly closed: Promise<void>;
  close(): void;
}

const notRunning = (machine: MachineRecord) =>
  new VirtsError('usage', `The machine ${nameOf(machine)} does not run; 'virts start ${nameOf(machine)}' starts it.`);

const gone = (machine: MachineRecord) => new VirtsError('io', `The process of the machine ${nameOf(machine)} is gone.`);

async function tryConnect(path: string): Promise<Socket | undefined> {
  const place = socketPath(path);
  const socket = connect({ path: place.path, allowHalfOpen: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', resolve);
    });
    socket.removeAllListeners('error');
    socket.on('error', () => {});
    return socket;
  } catch {
    return undefined;
  } finally {
    place.close();
  }
}

/** Connects to a machine that runs, or soon will. @throws VirtsError `usage` if it does not. */
async function open(machine: MachineRecord, patience = 30_000): Promise<Socket> {
  for (const until = Date.now() + patience; ; await setTimeout(LOOK_MS)) {
    const socket = await tryConnect(join(machine.directory, FILES.control));
    if (socket !== undefined) return socket;
    if (!isUp(statusOf(machine).state)) throw notRunning(machine);
    if (Date.now() > until) throw gone(machine);
  }
}

/** @throws VirtsError as `open`. `patience`: milliseconds that a machine may take to start. */
export async function connectControl(machine: MachineRecord, patience?: number): Promise<ControlClient> {
  const socket = await open(machine, patience);
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: unknown): void }>();
  const listeners: ((event: Event) => void)[] = [];
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  let last = 0;

  const reader = createLineReader((line) => {
    const value: unknown = JSON.parse(line);
    const event = Event.safeParse(value);
    if (event.success) {
      for (const listener of listeners) listener(event.data);
      return true;
    }
    const answer = Answer.parse(value);
    const { resolve, reject } = waiting.get(answer.id) ?? {};
    waiting.delete(answer.id);
    if ('error' in answer) reject?.(new VirtsError(answer.error.kind, answer.error.message));
    else resolve?.(answer.result);
    return true;
  });
  socket.on('data', (bytes: Buffer) => {
    try {
      if (!reader.push(bytes)) socket.destroy();
    } catch {
      socket.destroy();
    }
  });
  socket.on('end', () => socket.end());
  socket.on('close', () => {
    for (const { reject } of waiting.values()) reject(gone(machine));
    waiting.clear();
    close();
  });
  return {
    closed,
    async request(request, result) {
      const id = ++last;
      const answer = Promise.withResolvers<unknown>();
      waiting.set(id, answer);
      if (socket.destroyed) answer.reject(gone(machine));
      else socket.write(`${JSON.stringify({ ...request, id })}\n`);
      return result.parse(await answer.promise);
    },
    onEvent: (listener) => void listeners.push(listener),
    close: () => void socket.destroy(),
  };
}

/** Attaches to the first serial port. @throws VirtsError as `open`. */
export async function attachConsole(machine: MachineRecord, recent: boolean): Promise<AttachedConsole> {
  const socket = await open(machine);
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  socket.on('close', close);
  socket.on('end', () => socket.end());
  socket.write(`${JSON.stringify({ id: 0, method: 'attach', recent } satisfies Request)}\n`);
  let output: (bytes: Uint8Array) => void | Promise<void> = () => {};
  function show(bytes: Uint8Array): void {
    const taken = output(bytes);
    if (taken === undefined) return;
    socket.pause();
    taken.finally(() => socket.resume());
  }
  const answered = createLineReader(() => false);
  let attached = false;
  return {
    closed,
    close: () => void socket.destroy(),
    input(bytes) {
      if (socket.destroyed || socket.write(bytes)) return undefined;
      return new Promise((resolve) => {
        socket.once('drain', resolve);
        socket.once('close', resolve);
      });
    },
    onOutput(callback) {
      output = callback;
      if (attached) return;
      attached = true;
      let isAnswered = false;
      socket.on('data', (bytes: Buffer) => {
        if (isAnswered) return show(bytes);
        const end = bytes.indexOf(10);
        answered.push(bytes);
        if (end < 0) return;
        isAnswered = true;
        if (answered.rest().length > 0) show(answered.rest());
      });
    },
  };
}
