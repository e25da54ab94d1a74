/** Where Virts keeps things (XDG Base Directory Specification: a relative path in a variable counts as unset). */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

const DEFAULTS = {
  XDG_CACHE_HOME: '.cache',
  XDG_DATA_HOME: '.local/share',
  XDG_STATE_HOME: '.local/state',
} as const;

/** Virts' own directory below the one that a variable, or the user's home, gives. */
export function virtsDirectory(env: NodeJS.ProcessEnv, variable: keyof typeof DEFAULTS): string {
  const base = env[variable];
  return join(base !== undefined && isAbsolute(base) ? base : join(homedir(), DEFAULTS[variable]), 'virts');
}

/** Images, a directory each. */
export const imagesDirectory = (env: NodeJS.ProcessEnv = process.env): string =>
  join(virtsDirectory(env, 'XDG_DATA_HOME'), 'images');

/** Machines, a directory each. */
export const machinesDirectory = (env: NodeJS.ProcessEnv = process.env): string =>
  join(virtsDirectory(env, 'XDG_STATE_HOME'), 'machines');

/** Networks between machines, a directory each. */
export const networksDirectory = (env: NodeJS.ProcessEnv = process.env): string =>
  join(virtsDirectory(env, 'XDG_STATE_HOME'), 'networks');
