/** Programs in a guest as a program of the host has them: with streams, or run to their end. */
import { VirtsError } from '../base/errors.ts';
import { byteLength, copyOut } from '../base/pieces.ts';
import { type ExecuteRequest, execute, type GuestProgram, type TerminalSize } from '../vm/agent/execute.ts';
import { type DialAgent, printable } from '../vm/agent/session.ts';
import { type SignalName, signalName, signalNumber } from '../vm/agent/signals.ts';

/** A program and its arguments, looked for in the guest's `PATH`; or text for the guest's `sh -c`. */
export type Command = string | readonly [program: string, ...args: string[]];

export interface CommandOptions {
  /** Where it starts: a path of the guest; the user's home directory unless told. */
  readonly cwd?: string | undefined;
  /** Added to what a login of the user would have. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A name or a number of the guest, and, after a colon, a group; `root` unless told. */
  readonly user?: string | undefined;
  /** Kills the program with all of its process group; what waits for it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface SpawnOptions extends CommandOptions {
  /** Gives it a terminal of that size in characters. Then what it writes to standard error comes on `stdout`, too. */
  readonly terminal?: TerminalSize | undefined;
}

export interface ExecOptions extends CommandOptions {
  /** Its standard input; empty unless told. */
  readonly input?: string | Uint8Array | ReadableStream<Uint8Array> | undefined;
  /** Whether an exit status other than 0, or an end by a signal, makes `exec` reject; `true` unless told. */
  readonly check?: boolean | undefined;
  /** `utf8` unless told: output as text. */
  readonly encoding?: 'utf8' | 'bytes' | undefined;
  /** Most bytes of each of the two outputs, 64 MiB unless told; a program that writes more is killed. */
  readonly maxOutput?: number | undefined;
}

/** How a program ended. */
export interface ProgramEnd {
  /** From 0 to 255; 128 and the signal's number where a signal ended it, as a shell has it. */
  readonly exitCode: number;
  /** Such as `SIGKILL`; absent where it ended by itself. */
  readonly signal?: string;
}

/** How a program ended, and what it wrote. */
export interface ExecResult<Output = string> extends ProgramEnd {
  readonly stdout: Output;
  readonly stderr: Output;
}

/**
 * A program that runs in a guest. When 64 KiB of what it writes wait on this side and 256 KiB on the way, it waits: so both `stdout` and
 * `stderr` are to be read, or cancelled, which throws away what comes.
 */
export interface GuestProcess {
  /** Its process number in the guest. */
  readonly pid: number;
  /** Closing it is the end of the program's input. Writing fails with VirtsError `io` when the program takes no more. */
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /**
   * Resolves when it has ended and its output was read.
   * Rejects with VirtsError `guest-stopped` when the machine ends first, or with the reason of the signal.
   */
  readonly exited: Promise<ProgramEnd>;
  /** Sends a signal to it and its process group; `SIGTERM` unless told. A number is one of the guest's, from 1 to 64. */
  kill(signal?: SignalName | number): void;
  /** Gives its terminal another size. */
  resize(size: TerminalSize): void;
  /** Kills it with all of its process group, if it has not ended. */
  [Symbol.asyncDispose](): Promise<void>;
}

const ROOM = 64 * 1024;
const MAX_OUTPUT = 64 * 2 ** 20;
/** The highest signal that Linux has. */
const MOST_SIGNAL = 64;
const SHELL = (text: string) => ['sh', '-c', text];

function requestOf(command: Command, options: SpawnOptions, input: boolean): ExecuteRequest {
  const { cwd, env, user, terminal } = options;
  return {
    command: typeof command === 'string' ? SHELL(command) : command,
    input,
    ...(env !== undefined && { environment: env }),
    ...(cwd !== undefined && { directory: cwd }),
    ...(user !== undefined && { user }),
    ...(terminal !== undefined && { terminal }),
  };
}

/** The command as sentences show it. */
export function commandText(command: Command): string {
  const text = printable(typeof command === 'string' ? command : command.join(' '));
  return `'${text.length > 60 ? `${text.slice(0, 57)}...` : text}'`;
}

const endOf = ({ status, signal }: { readonly status: number; readonly signal: number }): ProgramEnd =>
  signal > 0 ? { exitCode: 128 + signal, signal: signalName(signal) } : { exitCode: status };

/** One output of a program as a stream. */
function createOutput() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let room = Promise.withResolvers<void>();
  let open = true;
  const stream = new ReadableStream<Uint8Array>(
    {
      start(own) {
        controller = own;
      },
      pull() {
        room.resolve();
        room = Promise.withResolvers();
      },
      cancel() {
        open = false;
        room.resolve();
      },
    },
    { highWaterMark: ROOM, size: ({ length }) => length },
  );
  return {
    stream,
    take(bytes: Uint8Array): undefined | Promise<void> {
      if (!open) return undefined;
      controller.enqueue(Uint8Array.from(bytes));
      return (controller.desiredSize ?? 0) > 0 ? undefined : room.promise;
    },
    end(error?: unknown): void {
      if (!open) return;
      open = false;
      room.resolve();
      if (error === undefined) controller.close();
      else controller.error(error);
    },
  };
}

function inputOf(program: GuestProgram): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    async write(bytes) {
      if (program.inputClosed) throw new VirtsError('io', 'The program in the guest takes no more input.');
      await program.write(Uint8Array.from(bytes));
    },
    close: program.closeInput,
    abort: program.closeInput,
  });
}

/** Kills a program when a signal says so, and makes that the reason of what it rejects with. */
async function abortable<T>(program: GuestProgram, signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  const abort = () => program.abandon();
  if (signal?.aborted === true) abort();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await work;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Takes the failures of a program's conversation: as they are, or as the end of the machine that was behind them. */
export type Explain = <T>(work: Promise<T>) => Promise<T>;

/** Starts a program. Resolves when it runs. @throws VirtsError `not-found` or `io` where it cannot be run. */
export async function spawnIn(
  dial: DialAgent,
  command: Command,
  options: SpawnOptions,
  explain: Explain,
): Promise<GuestProcess> {
  const { signal } = options;
  signal?.throwIfAborted();
  const [stdout, stderr] = [createOutput(), createOutput()];
  const program = execute(dial, requestOf(command, options, true), { stdout: stdout.take, stderr: stderr.take });
  const exited = explain(abortable(program, signal, program.exited.then(endOf)));
  const end = (error?: unknown): void => {
    stdout.end(error);
    stderr.end(error);
  };
  exited.then(() => end(), end);
  const pid = await explain(abortable(program, signal, program.started));
  return {
    ...{ pid, exited, stdin: inputOf(program), stdout: stdout.stream, stderr: stderr.stream },
    kill(name = 'SIGTERM') {
      const number = typeof name === 'number' ? name : signalNumber(name);
      if (!(number >= 1 && number <= MOST_SIGNAL))
        throw new VirtsError('usage', `There is no signal ${name} in the guest.`);
      program.signal(number);
    },
    resize: program.resize,
    async [Symbol.asyncDispose]() {
      program.abandon();
      await exited.catch(() => {});
    },
  };
}

/** Takes up to a number of bytes; says whether it was more. */
function createCollector(most: number) {
  const pieces: Uint8Array[] = [];
  let length = 0;
  return {
    take(bytes: Uint8Array): boolean {
      length += bytes.length;
      if (length <= most) pieces.push(Uint8Array.from(bytes));
      return length <= most;
    },
    bytes: () => copyOut(pieces, 0, byteLength(pieces)),
  };
}

/** Gives a program its input, as long as it takes any. */
async function feed(program: GuestProgram, input: NonNullable<ExecOptions['input']>): Promise<void> {
  if (typeof input === 'string') await program.write(new TextEncoder().encode(input));
  else if (input instanceof Uint8Array) await program.write(Uint8Array.from(input));
  else {
    const reader = input.getReader();
    const enough = () => reader.cancel().catch(() => {});
    program.exited.then(enough, enough);
    for (let part = await reader.read(); !part.done && !program.inputClosed; part = await reader.read()) {
      await program.write(Uint8Array.from(part.value));
    }
    await enough();
  }
  program.closeInput();
}

/** The last line of what a program complained of. */
function lastLine(text: string): string {
  const lines = text.trim().split('\n');
  return printable(lines.at(-1)!.trim());
}

/** A command that failed, for its user: `context` has all of the result. */
function failure(command: Command, result: ExecResult<unknown>, stderr: string): VirtsError {
  const how = result.signal === undefined ? `ended with status ${result.exitCode}` : `was ended by ${result.signal}`;
  const said = lastLine(stderr);
  const message = `${commandText(command)} in the guest ${how}${said === '' ? '.' : `: ${said}`}`;
  return new VirtsError('exit-status', message, { ...result });
}

/** Runs a program to its end and collects what it writes. */
export async function execIn(
  dial: DialAgent,
  command: Command,
  options: ExecOptions,
): Promise<ExecResult<string | Uint8Array>> {
  const { input, signal, check = true, encoding = 'utf8', maxOutput = MAX_OUTPUT } = options;
  signal?.throwIfAborted();
  const outputs = [createCollector(maxOutput), createCollector(maxOutput)] as const;
  const failed = Promise.withResolvers<never>();
  const collect = (take: (bytes: Uint8Array) => boolean) => (bytes: Uint8Array) => {
    if (take(bytes)) return;
    const message = `${commandText(command)} wrote more than ${maxOutput} bytes; set maxOutput, or use spawn to read as it writes.`;
    failed.reject(new VirtsError('no-space', message));
  };
  const program = execute(dial, requestOf(command, options, input !== undefined), {
    stdout: collect(outputs[0].take),
    stderr: collect(outputs[1].take),
  });
  // What reads the input may fail: then there is no sense in the rest.
  if (input !== undefined) feed(program, input).catch(failed.reject);
  try {
    const end = endOf(await abortable(program, signal, Promise.race([program.exited, failed.promise])));
    const [stdout, stderr] = outputs.map(({ bytes }) => bytes());
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const result =
      encoding === 'bytes'
        ? { ...end, stdout: stdout!, stderr: stderr! }
        : { ...end, stdout: text(stdout!), stderr: text(stderr!) };
    if (check && end.exitCode !== 0) throw failure(command, result, text(stderr!));
    return result;
  } finally {
    program.abandon();
  }
}
