/** What a command gets from the process it runs in; tests hand in their own. */
import type { Readable, Writable } from 'node:stream';
import type { StartMachine } from '../sdk/machine-host.ts';

/** Standard input; with `setRawMode` if it is a terminal. */
export type Input = Readable & { readonly isTTY?: boolean | undefined; setRawMode?(raw: boolean): unknown };

/** Standard output or standard error. */
export type Output = Writable & {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
};

/** Signals and the end of the process. */
export interface Signals {
  on(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

export interface Environment {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly signals: Signals;
  readonly startMachine: StartMachine;
}
