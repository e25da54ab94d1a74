/** The name server over TCP (RFC 7766): messages with their lengths before them, many on one connection. */
import { createByteQueue } from '../byte-queue.ts';
import type { ConnectionEvents, HostConnection } from '../host.ts';
import { getU16, setU16 } from '../wire.ts';
import type { NameServer } from './name-server.ts';

/** Questions of one connection that wait for their answers; more are not read until these are answered. */
const MOST_WAITING = 8;

/** A connection to the name server, as if it were one of the host's. */
export function connectToNameServer(server: NameServer, events: ConnectionEvents): HostConnection {
  const input = createByteQueue();
  let waiting = 0;
  let closed = false;
  let finished = false;
  let paused = false;
  let answers: Uint8Array[] = [];
  /** Bytes that the guest sent and that still count against its window. */
  let unread = 0;

  function close(): void {
    if (closed) return;
    closed = true;
    events.closed(undefined);
  }

  function deliver(): void {
    const ready = paused ? [] : answers;
    if (!paused) answers = [];
    for (const answer of ready) if (!closed) events.received(answer);
    if (finished && waiting === 0 && answers.length === 0 && !closed) {
      events.ended();
      close();
    }
  }

  async function ask(question: Uint8Array): Promise<void> {
    waiting++;
    const answer = await server.answer(question, true);
    waiting--;
    if (closed) return;
    if (answer !== undefined) {
      const framed = new Uint8Array(2 + answer.length);
      setU16(framed, 0, answer.length);
      framed.set(answer, 2);
      answers.push(framed);
    }
    deliver();
    read();
  }

  /** The next question, taken off the input; `undefined` until it is complete. */
  function nextQuestion(): Uint8Array | undefined {
    const head = new Uint8Array(2);
    if (input.length < 2) return undefined;
    input.copy(0, 2, head, 0);
    const length = getU16(head, 0);
    if (input.length < 2 + length) return undefined;
    const question = new Uint8Array(length);
    input.copy(2, length, question, 0);
    input.drop(2 + length);
    return question;
  }

  /** Starts on the questions that are complete, and lets the guest send on once there is room for more of them. */
  function read(): void {
    while (!closed && waiting + answers.length < MOST_WAITING) {
      const question = nextQuestion();
      if (question === undefined) break;
      void ask(question);
    }
    if (closed || unread === 0 || waiting + answers.length >= MOST_WAITING) return;
    const taken = unread;
    unread = 0;
    events.flushed(taken);
  }

  const later = (work: () => void) => void Promise.resolve().then(work);
  later(() => {
    if (!closed) events.connected();
  });
  return {
    send(bytes) {
      input.append(bytes);
      unread += bytes.length;
      later(read);
    },
    finish() {
      finished = true;
      later(deliver);
    },
    abort() {
      closed = true;
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      later(deliver);
    },
  };
}
