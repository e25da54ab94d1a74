/** A conversation with the guest's agent: one request over one stream, from its greeting to its end. */
import { VirtsError } from '../../base/errors.ts';
import type { ConnectionEvents, HostConnection, HostError } from '../../network/host.ts';
import {
  AGENT_VERSION,
  type AgentFrame,
  createFrameReader,
  encodeFrame,
  FRAME,
  MOST_REQUEST,
  malformed,
  number,
  toText,
  u32,
} from './protocol.ts';

/** Begins to connect to the agent's port of a guest. */
export type DialAgent = (events: ConnectionEvents) => HostConnection;

export interface Session {
  /** Sends a frame. @throws VirtsError `usage` where it is longer than the agent takes. */
  send(type: number, ...payload: readonly Uint8Array[]): void;
  /** All is said and heard: the stream is given up. */
  close(): void;
  /** Ends it with an error for its user. */
  fail(error: unknown): void;
}

/** What a session tells. Nothing is told after `failed`, and nothing after `close`. */
export interface SessionEvents {
  /** A frame of the agent, other than its greeting and `failed`. A VirtsError that it throws ends the session. */
  frame(frame: AgentFrame): void;
  failed(error: unknown): void;
}

const REASONS: Readonly<Record<HostError, string>> = {
  refused: 'The guest has no agent that answers: it is still starting, or its image has none.',
  timeout: 'The guest does not answer: it is still starting, hangs, or has no driver for its socket device.',
  unreachable: 'The machine cannot be reached: it does not run, or has no socket device.',
  reset: "The connection to the guest's agent broke off.",
};

/** Longest sentence of the agent's that is shown. */
const MOST_TEXT = 400;

/** What the guest says, for a sentence: without what could disturb a terminal, and of limited length. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about.
  return text.slice(0, MOST_TEXT).replace(/[\x00-\x1f\x7f-\x9f]/g, '?');
}

function reasonOf(payload: Uint8Array): { readonly errno: number; readonly text: string } {
  if (payload.length < 4) throw malformed('a reason without a number');
  return { errno: u32(payload), text: printable(toText(payload.subarray(4))) };
}

/** Numbers of errors that say that something is not there (errno(3)). */
const NOT_THERE: readonly number[] = [2, 20];

/** Opens a session. What is sent before the agent has greeted is sent with the greeting. */
export function openSession(dial: DialAgent, { frame, failed }: SessionEvents): Session {
  const read = createFrameReader();
  let greeted = false;
  let over = false;

  function fail(error: unknown): void {
    if (over) return;
    over = true;
    connection.abort();
    failed(error);
  }

  function handle(one: AgentFrame): void {
    if (!greeted) {
      if (one.type !== FRAME.hello || one.payload.length < 4) throw malformed('it did not greet');
      const version = u32(one.payload);
      if (version !== AGENT_VERSION) {
        throw new VirtsError(
          'unsupported',
          `The guest's agent speaks version ${version} of its protocol, Virts ${AGENT_VERSION}; update the agent in the guest.`,
        );
      }
      greeted = true;
    } else if (one.type === FRAME.failed) {
      const { errno, text } = reasonOf(one.payload);
      throw new VirtsError(NOT_THERE.includes(errno) ? 'not-found' : 'io', `The guest's agent says: ${text}.`, {
        errno,
      });
    } else frame(one);
  }

  const connection = dial({
    connected() {},
    flushed() {},
    received(bytes) {
      try {
        for (const one of over ? [] : read(bytes)) if (!over) handle(one);
      } catch (error) {
        fail(error);
      }
    },
    ended: () => fail(new VirtsError('network', REASONS.reset)),
    closed: (error) => fail(new VirtsError('network', REASONS[greeted ? 'reset' : (error ?? 'reset')])),
  });
  connection.send(encodeFrame(FRAME.hello, number(AGENT_VERSION, 4)));

  return {
    send(type, ...payload) {
      const bytes = encodeFrame(type, ...payload);
      if (bytes.length > MOST_REQUEST) throw new VirtsError('usage', 'The command and its environment are too long.');
      if (!over) connection.send(bytes);
    },
    close() {
      over = true;
      connection.abort();
    },
    fail,
  };
}
