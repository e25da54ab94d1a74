/** Echo requests. An ordinary user's sockets cannot send them; the host's `ping` may, so it is asked. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isV6 } from '../address.ts';
import type { HostNetwork } from '../host.ts';

const PATIENCE_S = 5;
/** Larger payloads are asked for with this one. */
const MOST_BYTES = 1400;

function find(program: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** `undefined` where the host has no `ping` in its `path`. */
export function createEcho(path: string): NonNullable<HostNetwork['echo']> | undefined {
  const ping = find('ping', path);
  if (ping === undefined) return undefined;
  return (to, size) =>
    new Promise((resolve) => {
      const bytes = String(Math.min(MOST_BYTES, Math.max(0, size)));
      const args = [isV6(to) ? '-6' : '-4', '-n', '-q', '-c', '1', '-w', String(PATIENCE_S), '-s', bytes, to];
      execFile(ping, args, { timeout: (PATIENCE_S + 1) * 1000 }, (error) => resolve(error === null));
    });
}
