/** The program `virts` in a process of its own, for tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
/** More than any of these runs takes on a busy host. */
const TIMEOUT_MS = 300_000;

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Run {
  readonly process: ChildProcess;
  readonly ended: Promise<Result>;
  /** Resolves when standard error or output matches; rejects when the program ends first. */
  said(pattern: RegExp): Promise<void>;
}

let state: string | undefined;

/** Where machines of these tests have their state: a directory that goes away after the tests of a file. */
export function stateHome(): string {
  if (state === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'virts-state-'));
    process.on('exit', () => rmSync(made, { recursive: true, force: true }));
    state = made;
  }
  return state;
}

/** Starts `virts`. */
export const virts = (...args: readonly string[]): Run => virtsWithin(TIMEOUT_MS, ...args);

/** Starts `virts` for something that takes at most so many milliseconds on a busy host. */
export function virtsWithin(timeout: number, ...args: readonly string[]): Run {
  const env = { ...process.env, XDG_STATE_HOME: stateHome() };
  const child = spawn(process.execPath, [MAIN, ...args], { timeout, killSignal: 'SIGKILL', env });
  let stdout = '';
  let stderr = '';
  const listeners = new Set<() => void>();
  const heard = () => {
    for (const listener of listeners) listener();
  };
  child.stdout.on('data', (bytes) => {
    stdout += bytes;
    heard();
  });
  child.stderr.on('data', (bytes) => {
    stderr += bytes;
    heard();
  });
  child.stdin.on('error', () => {});
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, stdout, stderr }));
  return {
    process: child,
    ended,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(stderr) && !pattern.test(stdout)) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        ended.then(() => reject(new Error(`virts ended without ${pattern}: ${stderr}`)));
        look();
      }),
  };
}

/** A directory that goes away after the tests of a file; returns what writes a file there and gives its path. */
export function temporaryFiles(): (name: string, bytes: Uint8Array) => string {
  const directory = mkdtempSync(join(tmpdir(), 'virts-test-'));
  after(() => rmSync(directory, { recursive: true }));
  return (name, bytes) => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return path;
  };
}

/** A TCP port of the loopback interface that nobody uses now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
