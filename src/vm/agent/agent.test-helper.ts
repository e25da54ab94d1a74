/** The guest's agent, as a program of this host that is reached by a socket of the file system. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connectUnix } from '../../network/node/unix.ts';
import { type ExecuteRequest, execute, type GuestProgram } from './execute.ts';
import type { DialAgent } from './session.ts';

const AGENT = fileURLToPath(new URL('../../images/agent/virts-agent', import.meta.url));

export interface HostAgent {
  readonly dial: DialAgent;
  readonly process: ChildProcess;
  /** A directory of its own. */
  readonly directory: string;
  stop(): Promise<void>;
}

export async function startAgent(): Promise<HostAgent> {
  const directory = mkdtempSync(join(tmpdir(), 'virts-agent-'));
  const path = join(directory, 'agent.sock');
  const child = spawn('perl', ['-w', AGENT, path], { stdio: ['ignore', 'inherit', 'inherit'] });
  while (!existsSync(path)) await setTimeout(10);
  return {
    dial: (events) => connectUnix(path, events),
    process: child,
    directory,
    async stop() {
      child.kill('SIGKILL');
      await once(child, 'close');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit status, or the signal as a negative number. */
  readonly status: number;
}

/** Runs a program to its end and collects what it writes. */
export async function runToEnd(
  dial: DialAgent,
  request: ExecuteRequest,
  meanwhile: (program: GuestProgram) => void | Promise<void> = () => {},
): Promise<Outcome> {
  const parts: { stdout: Uint8Array[]; stderr: Uint8Array[] } = { stdout: [], stderr: [] };
  const program = execute(dial, request, {
    stdout: (bytes) => void parts.stdout.push(bytes),
    stderr: (bytes) => void parts.stderr.push(bytes),
  });
  await meanwhile(program);
  const { status, signal } = await program.exited;
  const text = (chunks: Uint8Array[]) => Buffer.concat(chunks).toString('latin1');
  return { stdout: text(parts.stdout), stderr: text(parts.stderr), status: signal > 0 ? -signal : status };
}
