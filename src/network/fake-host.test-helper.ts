/** A host whose network is in the hands of a test. */
import { VirtsError } from '../base/errors.ts';
import type { Address, Endpoint } from './address.ts';
import type { ConnectionEvents, DatagramReceiver, HostConnection, HostDatagrams, HostNetwork } from './host.ts';

/** A connection of the host, and what became of it. */
export interface FakeConnection extends HostConnection {
  readonly to: Endpoint;
  readonly events: ConnectionEvents;
  /** What was sent and not yet flushed by `flush`, and all that was sent. */
  waiting: number;
  readonly sent: number[];
  finished: boolean;
  aborted: boolean;
  paused: boolean;
  /** Tells that what was sent is gone. */
  flush(): void;
}

export interface FakeDatagrams extends HostDatagrams {
  readonly sent: { readonly to: Endpoint; readonly bytes: Uint8Array }[];
  readonly receive: DatagramReceiver;
  closed: boolean;
}

export interface FakeHost extends HostNetwork {
  readonly connections: FakeConnection[];
  readonly sockets: FakeDatagrams[];
  /** By port. */
  readonly listeners: Map<number, (connection: HostConnection, from: Endpoint) => ConnectionEvents | undefined>;
  readonly questions: { readonly query: Uint8Array; answer(bytes: Uint8Array): void; fail(): void }[];
  readonly echoes: { readonly to: Address; readonly size: number; answer(there: boolean): void }[];
  readonly names: Map<string, Address[]>;
  /** Somebody connects to a port that is listened on. */
  dial(port: number, from?: Endpoint): FakeConnection | undefined;
}

function fakeConnection(to: Endpoint): Omit<FakeConnection, 'events'> & { events: ConnectionEvents | undefined } {
  return {
    to,
    events: undefined,
    waiting: 0,
    sent: [],
    finished: false,
    aborted: false,
    paused: false,
    send(bytes) {
      this.waiting += bytes.length;
      for (const byte of bytes) this.sent.push(byte);
    },
    flush() {
      const { waiting } = this;
      this.waiting = 0;
      if (waiting > 0) this.events!.flushed(waiting);
    },
    finish() {
      this.finished = true;
    },
    abort() {
      this.aborted = true;
    },
    pause() {
      this.paused = true;
    },
    resume() {
      this.paused = false;
    },
  };
}

export function createFakeHost(): FakeHost {
  const connections: FakeConnection[] = [];
  const sockets: FakeDatagrams[] = [];
  const listeners: FakeHost['listeners'] = new Map();
  const questions: FakeHost['questions'] = [];
  const echoes: FakeHost['echoes'] = [];
  const names: FakeHost['names'] = new Map();

  function socket(at: Endpoint, receive: DatagramReceiver): FakeDatagrams {
    const made: FakeDatagrams = {
      at,
      receive,
      sent: [],
      closed: false,
      send: (to, bytes) => made.sent.push({ to, bytes: bytes.slice() }),
      close() {
        made.closed = true;
      },
    };
    sockets.push(made);
    return made;
  }

  return {
    connections,
    sockets,
    listeners,
    questions,
    echoes,
    names,
    connect(to, events) {
      const made = Object.assign(fakeConnection(to), { events });
      connections.push(made);
      return made;
    },
    async listen(at, accepted) {
      if (listeners.has(at.port)) throw new VirtsError('io', 'in use', { code: 'EADDRINUSE' });
      listeners.set(at.port, accepted);
      return { at, close: () => void listeners.delete(at.port) };
    },
    dial(port, from = { address: '127.0.0.1', port: 5555 }) {
      const made = fakeConnection(from);
      made.events = listeners.get(port)?.(made, from);
      if (made.events === undefined) return undefined;
      connections.push(made as FakeConnection);
      return made as FakeConnection;
    },
    datagrams: (version, receive) => socket({ address: version === 6 ? '::' : '0.0.0.0', port: 0 }, receive),
    bind: async (at, receive) => socket(at, receive),
    resolve: (query) =>
      new Promise((resolve, reject) => {
        questions.push({ query, answer: resolve, fail: () => reject(new Error('no answer')) });
      }),
    known: (name) => names.get(name) ?? [],
    echo: (to, size) =>
      new Promise((answer) => {
        echoes.push({ to, size, answer });
      }),
  };
}
