/**
 * How a program of the host gets to a port of the guest over a connection to the machine's process: it says `CONNECT <port>`, hears
 * `OK <port of the host>` and has the stream; or it hears `ERR` and a word, and that is all.
 */
import { createBridge } from '../bridge.ts';
import type { ConnectionEvents, HostConnection, HostError } from '../host.ts';
import type { Vsock } from './connections.ts';

const CONNECT = /^CONNECT (\d{1,10})\r?$/;
const MOST_PORT = 0xffff_fffe;
/** Bytes of the longest line on either side. */
const MOST_LINE = 64;
const NEWLINE = 10;

const encoder = new TextEncoder();
const decoder = new TextDecoder('latin1');
const line = (text: string) => encoder.encode(`${text}\n`);

const NO_EVENTS: ConnectionEvents = { connected() {}, received() {}, ended() {}, flushed() {}, closed() {} };

/** A line and what follows it. */
interface Line {
  readonly text: string;
  readonly rest: Uint8Array;
}

/** Collects bytes up to the end of a line. */
function createLineReader(): (bytes: Uint8Array) => Line | 'too long' | undefined {
  let known = new Uint8Array(0);
  return (bytes) => {
    const all = new Uint8Array(known.length + bytes.length);
    all.set(known);
    all.set(bytes, known.length);
    known = all;
    const at = all.indexOf(NEWLINE);
    if (at > MOST_LINE || (at < 0 && all.length > MOST_LINE)) return 'too long';
    return at < 0 ? undefined : { text: decoder.decode(all.subarray(0, at)), rest: all.subarray(at + 1) };
  };
}

/** Events that go to whoever is the listener at the time. */
function switched(first: ConnectionEvents): { readonly events: ConnectionEvents; to(next: ConnectionEvents): void } {
  let current = first;
  return {
    events: {
      connected: () => current.connected(),
      received: (bytes) => current.received(bytes),
      ended: () => current.ended(),
      flushed: (count) => current.flushed(count),
      closed: (error) => current.closed(error),
    },
    to(next) {
      current = next;
    },
  };
}

/** Serves one client of the doorway; returns what its connection is to be told of. */
export function serveDoorway(vsock: Vsock, client: HostConnection): ConnectionEvents {
  const readLine = createLineReader();

  function refuse(word: string): void {
    door.to(NO_EVENTS);
    client.send(line(`ERR ${word}`));
    client.finish();
  }

  function connect(port: number, rest: Uint8Array): void {
    const [outside, inside] = createBridge();
    /** What came before the guest has answered: a little may come after the pause. */
    const early = [rest];
    let hasEnded = false;
    let isOver = false;
    client.pause();
    const guest = switched({
      ...NO_EVENTS,
      connected() {
        guest.to(inside.events);
        door.to(outside.events);
        client.send(line(`OK ${port}`));
        for (const bytes of early) outside.events.received(bytes);
        if (hasEnded) outside.events.ended();
        client.resume();
      },
      closed(error) {
        isOver = true;
        refuse(error ?? 'closed');
      },
    });
    door.to({
      ...NO_EVENTS,
      received: (bytes) => void early.push(bytes),
      ended() {
        hasEnded = true;
      },
      closed() {
        if (!isOver) connection.abort();
      },
    });
    const connection = vsock.connect(port, guest.events);
    inside.attach(connection);
    outside.attach(client);
  }

  const door = switched({
    ...NO_EVENTS,
    received(bytes) {
      const found = readLine(bytes);
      if (found === undefined) return;
      const port = found === 'too long' ? undefined : CONNECT.exec(found.text)?.[1];
      if (found === 'too long' || port === undefined || Number(port) > MOST_PORT) refuse('say CONNECT and a port');
      else connect(Number(port), found.rest);
    },
    ended: () => client.abort(),
  });
  return door.events;
}

const WORDS: readonly HostError[] = ['refused', 'unreachable', 'timeout', 'reset'];

/**
 * Begins to connect to a port of the guest through a doorway that `connect` reaches. What is sent goes out at once, behind the
 * question for the port.
 */
export function throughDoorway(
  connect: (events: ConnectionEvents) => HostConnection,
  port: number,
  events: ConnectionEvents,
): HostConnection {
  const question = line(`CONNECT ${port}`);
  const readLine = createLineReader();
  /** Bytes of the question that are not flushed yet. */
  let own = question.length;
  let isOver = false;

  function refused(error: HostError): void {
    isOver = true;
    connection.abort();
    door.to(NO_EVENTS);
    events.closed(error);
  }

  const door = switched({
    connected() {},
    received(bytes) {
      const found = readLine(bytes);
      if (found === undefined) return;
      const text = found === 'too long' ? '' : found.text;
      if (found === 'too long' || !text.startsWith('OK ')) {
        refused(WORDS.find((word) => text === `ERR ${word}`) ?? 'reset');
        return;
      }
      door.to({ ...events, flushed });
      events.connected();
      if (found.rest.length > 0) events.received(found.rest);
    },
    // Nobody serves the doorway, which is no word of the guest's.
    ended: () => refused('unreachable'),
    flushed,
    closed: () => isOver || events.closed('unreachable'),
  });
  function flushed(count: number): void {
    const mine = Math.min(own, count);
    own -= mine;
    if (count > mine) events.flushed(count - mine);
  }
  const connection = connect(door.events);
  connection.send(question);
  return connection;
}
