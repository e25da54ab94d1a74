/**
 * How a command finds the socket that leads to ports of a machine's guest. It reads the state directory without what checks
 * the rest of it, which would take longer than a short command in the guest.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { VirtsError } from '../base/errors.ts';
import { machinesDirectory } from '../images/directories.ts';
import { connectUnix } from '../network/node/unix.ts';
import { throughDoorway } from '../network/vsock/doorway.ts';
import { patientDial } from '../vm/agent/patience.ts';
import { AGENT_PORT } from '../vm/agent/protocol.ts';
import type { DialAgent } from '../vm/agent/session.ts';
import { machineByName } from './machines/by-name.ts';
import { FILES } from './machines/files.ts';

function nameIn(directory: string): string | undefined {
  try {
    const record = JSON.parse(readFileSync(join(directory, FILES.record), 'utf8')) as {
      readonly configuration?: { readonly name?: unknown };
    };
    return typeof record.configuration?.name === 'string' ? record.configuration.name : undefined;
  } catch {
    return undefined;
  }
}

/** The directory of a machine, by its name, its id, or the beginning of an id that no other has. */
function machineDirectory(name: string, env: NodeJS.ProcessEnv): string {
  const directory = machinesDirectory(env);
  const ids = existsSync(directory) ? readdirSync(directory).filter((id) => !id.startsWith('.')) : [];
  const machines = ids.map((id) => ({ id, name: nameIn(join(directory, id)) }));
  return join(directory, machineByName(name, machines).id);
}

/** What a machine's process wrote last of its state, whether it still lives or not. */
function stateIn(directory: string): { readonly state?: unknown; readonly pid?: unknown } {
  try {
    return JSON.parse(readFileSync(join(directory, FILES.status), 'utf8')) as ReturnType<typeof stateIn>;
  } catch {
    return {};
  }
}

/** Whether a machine's process is about to make its socket. */
function isStarting(directory: string): boolean {
  const { state, pid } = stateIn(directory);
  if (state !== 'starting' || typeof pid !== 'number') return false;
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A machine's socket. @throws VirtsError as `agentOf`. */
function socketOfMachine(machine: string, directory: string): string {
  const path = join(directory, FILES.vsock);
  if (stateIn(directory).state === 'paused' && existsSync(path)) {
    throw new VirtsError('usage', `The machine ${machine} is paused; 'virts resume ${machine}' lets it go on.`, {
      machine,
    });
  }
  if (existsSync(path) || isStarting(directory)) return path;
  const message = `The machine ${machine} does not run; 'virts start ${machine}' starts it.`;
  throw new VirtsError('not-found', message, { machine });
}

/** How long (ms) after its start a guest may take until its agent answers; and one that has long been there. */
const START_MS = 300_000;
const RESTART_MS = 5000;

/** When (by `Date.now`) waiting for the agent behind a socket ends: the guest started, or started anew, when that was touched. */
function patienceEnd(path: string): number {
  const started = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  return Math.max(Date.now() + RESTART_MS, Math.min(started, Date.now()) + START_MS);
}

/**
 * How to reach the agent of a machine's guest; while that is starting, it is waited for. `machine`: a name or an id, or the path of
 * a socket, which has a slash. `tell` gets a sentence when it takes a while.
 * @throws VirtsError `not-found`, `usage`.
 */
export function agentOf(machine: string, env: NodeJS.ProcessEnv, tell: (sentence: string) => void): DialAgent {
  const directory = machine.includes('/') ? undefined : machineDirectory(machine, env);
  const path = directory === undefined ? machine : socketOfMachine(machine, directory);
  if (directory === undefined && !existsSync(path)) {
    throw new VirtsError('not-found', `There is no socket ${path}; 'virts run --vsock' makes one.`, { machine });
  }
  const dial: DialAgent = (events) => throughDoorway((own) => connectUnix(path, own), AGENT_PORT, events);
  return patientDial(dial, {
    now: Date.now,
    after(ms, work) {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    until: patienceEnd(path),
    mayCome: (error) => error !== 'unreachable' || (directory !== undefined && isStarting(directory)),
    waiting: (left) =>
      tell(
        `The guest's agent does not answer; if the guest is starting, it soon will. Waiting for up to ${Math.ceil(left / 1000)} s; Ctrl-C ends that.`,
      ),
  });
}
