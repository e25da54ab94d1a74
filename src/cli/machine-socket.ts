/**
 * How a command finds the socket that leads to ports of a machine's guest. It reads the state directory without what checks
 * the rest of it, which would take longer than a short command in the guest.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VirtsError } from '../base/errors.ts';
import { machinesDirectory } from '../images/directories.ts';
import { connectUnix } from '../network/node/unix.ts';
import { throughDoorway } from '../network/vsock/doorway.ts';
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

/**
 * How to reach the agent of a machine's guest. `machine`: a name or an id, or the path of a socket, which has a slash.
 * @throws VirtsError `not-found`, `usage`.
 */
export function agentOf(machine: string, env: NodeJS.ProcessEnv): DialAgent {
  const path = machine.includes('/') ? machine : join(machineDirectory(machine, env), FILES.vsock);
  if (!existsSync(path)) {
    const message = machine.includes('/')
      ? `There is no socket ${path}; 'virts run --vsock' makes one.`
      : `The machine ${machine} does not run; 'virts start ${machine}' starts it.`;
    throw new VirtsError('not-found', message, { machine });
  }
  return (events) => throughDoorway((own) => connectUnix(path, own), AGENT_PORT, events);
}
