/** `virts exec`: runs a command in a machine's guest, on this terminal or on this process's streams. */
import { once } from 'node:events';
import { VirtsError } from '../base/errors.ts';
import { type ExecuteRequest, execute, type GuestProgram, type TerminalSize } from '../vm/agent/execute.ts';
import { signalNumber } from '../vm/agent/signals.ts';
import type { Environment, Output } from './environment.ts';
import { type ExecOptions, parseExec } from './exec-options.ts';
import { agentOf } from './machine-socket.ts';
import { holdRaw } from './raw-mode.ts';

export type ExecEnvironment = Pick<Environment, 'stdin' | 'stdout' | 'stderr' | 'env' | 'signals'>;

/** As shells have it: a command that is not there, and one that cannot be run. */
const STATUS = { notFound: 127, notRunnable: 126 } as const;
/** Signals that are passed on, by number. */
const PASSED = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'] as const;
const SIGPIPE = signalNumber('SIGPIPE');
const USUAL_SIZE: TerminalSize = { rows: 24, columns: 80 };

const sizeOf = ({ rows, columns }: Output): TerminalSize => ({
  rows: rows || USUAL_SIZE.rows,
  columns: columns || USUAL_SIZE.columns,
});

/** Writes and waits where the stream is full. */
function writeTo(stream: Output, bytes: Uint8Array): Promise<void> | undefined {
  if (stream.write(bytes)) return undefined;
  return once(stream, 'drain').then(
    () => {},
    () => {},
  );
}

/** Gives the program what comes on standard input; returns what ends that. */
function passInput(program: GuestProgram, { stdin }: ExecEnvironment): () => void {
  const onData = (bytes: Buffer): void => {
    stdin.pause();
    program.write(bytes).then(() => {
      if (!program.inputClosed && stdin.listenerCount('data') > 0) stdin.resume();
    });
  };
  const onEnd = () => program.closeInput();
  stdin.on('data', onData);
  stdin.on('end', onEnd);
  stdin.on('error', onEnd);
  return () => {
    stdin.off('data', onData);
    stdin.off('end', onEnd);
    stdin.pause();
  };
}

/**
 * Passes signals on; where the same comes again, or comes before there is a program, that is given up for it. Returns what ends
 * that.
 */
function passSignals(
  program: GuestProgram,
  { signals }: ExecEnvironment,
  gaveUp: (signal: number) => void,
): () => void {
  let runs = false;
  program.started.then(
    () => {
      runs = true;
    },
    () => {},
  );
  const listeners = PASSED.map((name) => {
    const number = signalNumber(name);
    let before = false;
    const listener = (): void => {
      if (runs && !before) program.signal(number);
      else {
        gaveUp(number);
        program.abandon();
      }
      before = true;
    };
    signals.on(name, listener);
    return [name, listener] as const;
  });
  return () => {
    for (const [name, listener] of listeners) signals.off(name, listener);
  };
}

/** Keeps the terminal of the program at the size of ours. Returns what ends that. */
function passSize(program: GuestProgram, { stdout }: ExecEnvironment): () => void {
  const listener = () => program.resize(sizeOf(stdout));
  stdout.on('resize', listener);
  return () => void stdout.off('resize', listener);
}

function requestOf(options: ExecOptions, environment: ExecEnvironment): ExecuteRequest {
  const { command, directory, user, interactive, terminal } = options;
  const { env } = environment;
  if (terminal && interactive && environment.stdin.isTTY !== true) {
    throw new VirtsError('usage', 'Standard input is no terminal; leave -t out.');
  }
  const own = terminal && env.TERM !== undefined ? { TERM: env.TERM } : {};
  return {
    command,
    environment: { ...own, ...options.environment },
    ...(directory === undefined ? {} : { directory }),
    ...(user === undefined ? {} : { user }),
    ...(terminal ? { terminal: sizeOf(environment.stdout) } : {}),
    input: interactive,
  };
}

/** The status of a command that could not be run; throws what is no fault of the command. */
function failedStatus(error: unknown, { stderr }: ExecEnvironment): number {
  if (!(error instanceof VirtsError) || error.context.errno === undefined) throw error;
  stderr.write(`virts: ${error.message}\n`);
  return error.kind === 'not-found' ? STATUS.notFound : STATUS.notRunnable;
}

/**
 * Runs a command in a guest.
 * @returns its exit status, 128 + N where signal N ended it, 126 or 127 where it could not be run.
 * @throws VirtsError.
 */
export async function exec(words: readonly string[], environment: ExecEnvironment): Promise<number> {
  const options = parseExec(words, environment.env);
  const request = requestOf(options, environment);
  /** The signal for which the program was given up: one of ours, or that nobody reads what it writes. */
  let givenUpFor = 0;
  const onError = (): void => {
    givenUpFor = SIGPIPE;
    program.abandon();
  };
  // It is made while the guest is at work, as that takes the process longer than a program without output does the guest.
  const output = setImmediate(() => environment.stdout.once('error', onError));
  const tell = (sentence: string) => environment.stderr.write(`virts: ${sentence}\n`);
  const program = execute(agentOf(options.machine, environment.env, tell), request, {
    stdout: (bytes) => writeTo(environment.stdout, bytes),
    stderr: (bytes) => writeTo(environment.stderr, bytes),
  });
  const undo: (() => void)[] = [
    () => {
      clearImmediate(output);
      environment.stdout.off('error', onError);
    },
  ];
  try {
    if (options.terminal && options.interactive) undo.push(holdRaw(environment));
    if (options.terminal) undo.push(passSize(program, environment));
    if (options.interactive) undo.push(passInput(program, environment));
    const note = (signal: number): void => {
      givenUpFor = signal;
    };
    undo.push(passSignals(program, environment, note));
    const { status, signal } = await program.exited;
    return signal > 0 ? 128 + signal : status;
  } catch (error) {
    return givenUpFor > 0 ? 128 + givenUpFor : failedStatus(error, environment);
  } finally {
    for (const end of undo) end();
  }
}
