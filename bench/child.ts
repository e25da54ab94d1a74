/** Child processes that never outlive this one. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface Child {
  readonly process: ChildProcessWithoutNullStreams;
  /** The last of what it wrote on standard error. */
  log(): string;
  /** Ends it and what it started, and waits for it to be gone. */
  end(): Promise<void>;
}

const MAX_LOG = 1 << 16;
const groups = new Set<number>();

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

process.on('exit', () => groups.forEach(killGroup));

/**
 * Starts a program in a process group of its own: a Ctrl-C on the terminal reaches this process alone, which then ends
 * its children by their group.
 * @param signal ends the child when it is aborted.
 */
export function startChild({ program, args, env }: Command, signal: AbortSignal): Child {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    ...(env === undefined ? {} : { env }),
  });
  const { pid } = child;
  let log = '';
  if (pid !== undefined) groups.add(pid);
  const kill = (): void => {
    if (pid !== undefined && groups.has(pid)) killGroup(pid);
  };
  signal.addEventListener('abort', kill, { once: true });
  if (signal.aborted) kill();
  const gone = new Promise<void>((resolve) => {
    const finish = (): void => {
      signal.removeEventListener('abort', kill);
      if (pid !== undefined) groups.delete(pid);
      resolve();
    };
    child.on('exit', finish);
    child.on('error', (error) => {
      log += `${program}: ${error.message}\n`;
      finish();
    });
  });
  // A child that ended takes no more input; that it ended is told by its exit.
  child.stdin.on('error', () => {});
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString('latin1')).slice(-MAX_LOG);
  });
  return {
    process: child,
    log: () => log,
    async end() {
      kill();
      await gone;
    },
  };
}
