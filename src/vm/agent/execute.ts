/** Runs a program in the guest: its streams, its terminal, signals for it, and how it ended. */
import { VirtsError } from '../../base/errors.ts';
import {
  type AgentFrame,
  encodeFields,
  FRAME,
  MOST_INPUT_CREDIT,
  malformed,
  number,
  OUTPUT_WINDOW,
  STREAM,
  u32,
} from './protocol.ts';
import { type DialAgent, openSession } from './session.ts';

export interface ExecuteRequest {
  /** The program and its arguments; a program without a slash is looked for in the guest's `PATH`. */
  readonly command: readonly string[];
  /** Added to what a login of the user would have. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it starts; the user's home directory unless told. */
  readonly directory?: string;
  /** A name or a number, and, after a colon, a group. `root` unless told. */
  readonly user?: string;
  /** It gets a terminal of that size in characters; then its output and its errors are one stream, `stdout`. */
  readonly terminal?: TerminalSize;
  /** Whether it gets what `write` is given; otherwise its input is empty. */
  readonly input?: boolean;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** Takes what a program writes. A promise, if there is one, resolves when more can be taken; until then the program waits. */
export interface OutputReceiver {
  stdout(bytes: Uint8Array): void | Promise<void>;
  stderr(bytes: Uint8Array): void | Promise<void>;
}

export interface ExitStatus {
  /** 0 to 255. */
  readonly status: number;
  /** The number of the signal that ended it, 0 if none did. */
  readonly signal: number;
}

export interface GuestProgram {
  /** Resolves with its process number in the guest when it runs. Rejects with VirtsError where it cannot be run. */
  readonly started: Promise<number>;
  /** Resolves when it has ended and all its output was taken. Rejects with VirtsError when it cannot be followed any more. */
  readonly exited: Promise<ExitStatus>;
  /** Gives it input; resolves when more can be given. What is given after its end is lost. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends its input. */
  closeInput(): void;
  /** Whether the program wants no more input, by having closed it or having ended. */
  readonly inputClosed: boolean;
  resize(size: TerminalSize): void;
  /** Sends a signal to its process group; 1 to 64. */
  signal(number: number): void;
  /** Gives it up: the guest ends it with all of its process group. */
  abandon(): void;
}

function requestFields(request: ExecuteRequest): Uint8Array {
  const { command, environment = {}, directory, user, terminal, input = false } = request;
  const fields: (readonly [string, string])[] = command.map((word) => ['a', word] as const);
  for (const [name, value] of Object.entries(environment)) fields.push(['e', `${name}=${value}`]);
  if (directory !== undefined) fields.push(['w', directory]);
  if (user !== undefined) fields.push(['u', user]);
  if (terminal !== undefined) fields.push(['t', `${terminal.rows} ${terminal.columns}`]);
  if (input) fields.push(['i', '']);
  const zero = fields.find(([, value]) => value.includes('\0'));
  if (zero !== undefined || command.length === 0) {
    throw new VirtsError('usage', 'A command has at least one word, and none of its words a zero byte.');
  }
  return encodeFields(fields);
}

/** Data for the program's input, as far as the agent has room. */
function createInput(send: (bytes: Uint8Array) => void, end: () => void) {
  let credit = 0;
  let closed = false;
  let ending = false;
  const waiting: { bytes: Uint8Array; done(): void }[] = [];

  function flush(): void {
    for (let first = waiting[0]; first !== undefined && credit > 0; first = waiting[0]) {
      const part = first.bytes.subarray(0, Math.min(credit, 32 * 1024));
      credit -= part.length;
      send(part);
      first.bytes = first.bytes.subarray(part.length);
      if (first.bytes.length > 0) continue;
      waiting.shift();
      first.done();
    }
    if (ending && waiting.length === 0 && !closed) {
      closed = true;
      end();
    }
  }

  return {
    get closed() {
      return closed;
    },
    grant(count: number): void {
      credit += count;
      if (credit > MOST_INPUT_CREDIT) throw malformed('more credit than it has room');
      flush();
    },
    /** Whoever waits need not any more. */
    drop(): void {
      closed = true;
      for (const { done } of waiting.splice(0)) done();
    },
    write(bytes: Uint8Array): Promise<void> {
      if (closed || ending || bytes.length === 0) return Promise.resolve();
      return new Promise((resolve) => {
        waiting.push({ bytes, done: resolve });
        flush();
      });
    },
    end(): void {
      ending = true;
      flush();
    },
  };
}

/** What the program writes to one stream, and how much more the agent may send of it. */
function createOutput(
  receive: (bytes: Uint8Array) => void | Promise<void>,
  grant: (count: number) => void,
  failed: (error: unknown) => void,
) {
  let credit = OUTPUT_WINDOW;
  let taken = 0;
  let last: Promise<void> = Promise.resolve();

  function done(count: number): void {
    taken += count;
    if (taken < OUTPUT_WINDOW / 4) return;
    credit += taken;
    grant(taken);
    taken = 0;
  }

  return {
    take(bytes: Uint8Array): void {
      credit -= bytes.length;
      if (credit < 0) throw malformed('more output than it may send');
      const handed = receive(bytes);
      if (handed === undefined) done(bytes.length);
      else {
        last = handed.then(() => done(bytes.length));
        last.catch(failed);
      }
    },
    /** Resolves when all was taken that came. */
    flushed: () => last,
  };
}

/**
 * Runs a program in the guest that `dial` reaches.
 * @throws VirtsError `usage` for a command that cannot be one.
 */
export function execute(dial: DialAgent, request: ExecuteRequest, output: OutputReceiver): GuestProgram {
  const fields = requestFields(request);
  const started = Promise.withResolvers<number>();
  const exited = Promise.withResolvers<ExitStatus>();
  // Whoever does not ask for them must not be troubled by failures.
  started.promise.catch(() => {});
  exited.promise.catch(() => {});
  let isStarted = false;

  function failed(error: unknown): void {
    input.drop();
    started.reject(error);
    exited.reject(error);
  }

  async function conclude(status: ExitStatus): Promise<void> {
    session.close();
    input.drop();
    await stdout.flushed();
    await stderr.flushed();
    exited.resolve(status);
  }

  function frame({ type, payload }: AgentFrame): void {
    const first = payload[0];
    if (!isStarted) {
      if (type !== FRAME.started || payload.length !== 4)
        throw malformed('something else than the start of the program');
      isStarted = true;
      started.resolve(u32(payload));
    } else if (type === FRAME.data && first === STREAM.stdout && payload.length > 1) stdout.take(payload.subarray(1));
    else if (type === FRAME.data && first === STREAM.stderr && payload.length > 1) stderr.take(payload.subarray(1));
    else if (type === FRAME.credit && first === STREAM.stdin && payload.length === 5) input.grant(u32(payload, 1));
    else if (type === FRAME.ended && first === STREAM.stdin && payload.length === 1) input.drop();
    else if (type === FRAME.exit && payload.length === 2) {
      conclude({ status: payload[0]!, signal: payload[1]! }).catch(failed);
    } else throw malformed(`a frame of type ${type} that was not to come`);
  }

  const session = openSession(dial, { frame, failed });
  const grant = (stream: number) => (count: number) => session.send(FRAME.credit, number(stream, 1), number(count, 4));
  const input = createInput(
    (bytes) => session.send(FRAME.data, number(STREAM.stdin, 1), bytes),
    () => session.send(FRAME.ended, number(STREAM.stdin, 1)),
  );
  const stdout = createOutput(output.stdout, grant(STREAM.stdout), session.fail);
  const stderr = createOutput(output.stderr, grant(STREAM.stderr), session.fail);
  session.send(FRAME.execute, fields);
  for (const stream of [STREAM.stdout, STREAM.stderr]) grant(stream)(OUTPUT_WINDOW);

  return {
    started: started.promise,
    exited: exited.promise,
    write: input.write,
    closeInput: input.end,
    get inputClosed() {
      return input.closed;
    },
    resize: ({ rows, columns }) => session.send(FRAME.resize, number(rows, 2), number(columns, 2)),
    signal: (signal) => session.send(FRAME.signal, number(signal, 1)),
    abandon: () => session.fail(new VirtsError('network', 'The program was given up.')),
  };
}
