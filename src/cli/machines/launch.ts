/** Machines in processes of their own, which go on when the command that started them has ended. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { ERROR_KINDS, type ErrorKind, VirtsError } from '../../base/errors.ts';
import { ENGINE_OPTIONS, engineEnvironment } from '../engine-options.ts';
import { FILES } from './files.ts';
import { type HeldMachine, nameOf, stateError } from './state-directory.ts';

/** File descriptors of the new process: the lock of the machine, and where it says that the machine runs. */
export const DESCRIPTORS = { lock: 3, ready: 4 } as const;

const kinds = Object.keys(ERROR_KINDS) as [ErrorKind, ...ErrorKind[]];

/** What the process says once. */
const Ready = z.union([z.object({ running: z.literal(true) }), z.object({ kind: z.enum(kinds), message: z.string() })]);

export function tellReady(message: z.infer<typeof Ready>): void {
  try {
    writeSync(DESCRIPTORS.ready, JSON.stringify(message));
    closeSync(DESCRIPTORS.ready);
  } catch {
    // Whoever started it is gone.
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const bytes of stream) text += bytes;
  return text;
}

/** The last thing that a process said. */
function lastLine(path: string): string {
  try {
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    return lines.at(-1)?.replace(/^virts: /, '') ?? '';
  } catch {
    return '';
  }
}

/**
 * Starts a process that runs a machine; the lock becomes that process's. Resolves when the guest runs.
 * @throws VirtsError what kept it from running; the reason of the signal when that is aborted.
 */
export async function launch(
  { machine, lock }: HeldMachine,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  const main = fileURLToPath(new URL(`../main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
  const path = join(machine.directory, FILES.monitor);
  let log: number;
  try {
    log = openSync(path, 'w', 0o600);
  } catch (error) {
    lock.release();
    throw stateError(error, path, 'written');
  }
  const child = spawn(process.execPath, [...ENGINE_OPTIONS, main, 'monitor', machine.id], {
    detached: true,
    cwd: '/',
    env: engineEnvironment(env),
    stdio: ['ignore', log, log, lock.descriptor, 'pipe'],
  });
  closeSync(log);
  const end = () => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  try {
    const failed = new Promise<never>((_, reject) => child.once('error', reject));
    const text = await Promise.race([textOf(child.stdio[DESCRIPTORS.ready] as Readable), failed]);
    if (text === '') {
      signal.throwIfAborted();
      const reason = lastLine(path);
      const message = `The process of the machine ${nameOf(machine)} ended before the guest ran${reason === '' ? '.' : `: ${reason}`}`;
      throw new VirtsError('internal', message, { path });
    }
    const ready = Ready.parse(JSON.parse(text));
    if ('message' in ready) throw new VirtsError(ready.kind, ready.message);
  } finally {
    signal.removeEventListener('abort', end);
    lock.release();
    child.unref();
  }
}
