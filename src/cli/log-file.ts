/** Where the lines of `--debug-log` go. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { fileError } from '../images/apt/cache.ts';
import type { Environment } from './environment.ts';

/** How a line ends on standard error: in raw mode the terminal does not return to the first column by itself. */
export function lineEnd({ stderr, stdin }: Environment): string {
  return stdin.isTTY === true && stderr.isTTY === true ? '\r\n' : '\n';
}

export interface Log {
  readonly write: (line: string) => void;
  readonly close: () => void;
}

export function openLog(target: string | true, environment: Environment): Log {
  if (target === true) {
    const end = lineEnd(environment);
    return { write: (line) => void environment.stderr.write(line + end), close: () => {} };
  }
  try {
    const file = openSync(target, 'w');
    return { write: (line) => void writeSync(file, `${line}\n`), close: () => closeSync(file) };
  } catch (error) {
    throw fileError(error, target, 'written');
  }
}
