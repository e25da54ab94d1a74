/** Runs example programs. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FROM_SOURCE = new URL('from-source.ts', import.meta.url).href;
/** More than any of them takes on a busy host. */
const TIMEOUT_MS = 300_000;

export const examplePath = (name: string): string =>
  fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url));

/** Runs a program in a process of its own, which has to end by itself; returns what it writes. */
export async function runProgram(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { stdout } = await promisify(execFile)(process.execPath, args, { ...options, timeout: TIMEOUT_MS });
  return stdout;
}

/** Runs an example over this source. */
export const runExample = (name: string, env: NodeJS.ProcessEnv = process.env): Promise<string> =>
  runProgram(['--import', FROM_SOURCE, examplePath(name)], { env });
