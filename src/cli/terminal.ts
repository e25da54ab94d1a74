/** The guest's first serial port on the terminal, or on standard input and output when they are pipes. */
import { once } from 'node:events';
import type { ConsolePort } from '../sdk/console-hub.ts';
import type { Environment } from './environment.ts';
import { holdRaw } from './raw-mode.ts';

/** Ctrl-]: leaves the guest. The one key that does not reach it. */
const LEAVE = 0x1d;

export interface Attachment {
  /** Resolves when the user leaves, or when nobody reads standard output any more. */
  readonly left: Promise<void>;
  /** Gives the terminal back as it was. May be called more than once. */
  detach(): void;
  /** Resolves when everything that the guest wrote has been handed on. */
  flush(): Promise<void>;
}

/** Hands the guest's output on; `broken` is called when the reader is gone. */
function connectOutput(
  machine: ConsolePort,
  { stdout }: Environment,
  broken: () => void,
): { flush: () => Promise<void>; disconnect: () => void } {
  let open = true;
  let last: Promise<unknown> = Promise.resolve();
  const onError = (): void => {
    open = false;
    broken();
  };
  stdout.on('error', onError);
  machine.onOutput((bytes) => {
    if (!open) return;
    // The guest's memory behind the bytes may change once this function returns.
    if (stdout.write(Uint8Array.from(bytes))) return;
    const drained = once(stdout, 'drain').then(
      () => {},
      () => {},
    );
    last = drained;
    return drained;
  });
  return {
    flush: async () => {
      await last;
      if (open) await new Promise<void>((resolve) => stdout.write('', () => resolve()));
    },
    disconnect: () => void stdout.off('error', onError),
  };
}

/** Hands input to the guest, up to Ctrl-] if it comes from a terminal. The end of the input changes nothing for the guest. */
function connectInput(machine: ConsolePort, { stdin }: Environment, leave: () => void): () => void {
  const onData = (chunk: Buffer): void => {
    const at = stdin.isTTY === true ? chunk.indexOf(LEAVE) : -1;
    const bytes = at < 0 ? chunk : chunk.subarray(0, at);
    const taken = bytes.length > 0 ? machine.input(Uint8Array.from(bytes)) : undefined;
    if (at >= 0) leave();
    if (at >= 0 || taken === undefined) return;
    stdin.pause();
    taken.then(
      () => stdin.listenerCount('data') > 0 && stdin.resume(),
      () => {},
    );
  };
  // A terminal that went away reads as an error; SIGHUP says the same and ends the run.
  const onError = (): void => {};
  stdin.on('data', onData);
  stdin.on('error', onError);
  return () => {
    stdin.off('data', onData);
    stdin.pause();
  };
}

/** Connects a machine with the process's standard streams. */
export function attach(machine: ConsolePort, environment: Environment): Attachment {
  const { promise: left, resolve: leave } = Promise.withResolvers<void>();
  const release = holdRaw(environment);
  const output = connectOutput(machine, environment, leave);
  const disconnectInput = connectInput(machine, environment, leave);
  let attached = true;
  return {
    left,
    detach() {
      if (!attached) return;
      attached = false;
      disconnectInput();
      output.disconnect();
      release();
    },
    flush: output.flush,
  };
}
