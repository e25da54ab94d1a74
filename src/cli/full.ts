/** Commands that may run a machine, or need what checks the state directory: all but the light ones. */
import { collectAfterStart, ENGINE_OPTIONS, endOwnLimits, engineEnvironment } from './engine-options.ts';
import type { Environment } from './environment.ts';
import { reportUncaught } from './report-error.ts';

/** Has options of the engine take effect, which they do only from the start: the process is started anew in its own place. */
function startAnew(): void {
  if (ENGINE_OPTIONS.every((option) => process.execArgv.includes(option)) || process.channel !== undefined) return;
  const [program, ...rest] = process.argv;
  try {
    process.execve?.(
      program!,
      [program!, ...ENGINE_OPTIONS, ...process.execArgv, ...rest],
      engineEnvironment(process.env),
    );
  } catch {
    // It is only slower.
  }
}

/** Runs a command line and returns the exit status. */
export async function runFully(
  args: readonly string[],
  environment: Omit<Environment, 'startMachine'>,
): Promise<number> {
  startAnew();
  endOwnLimits();
  reportUncaught();
  const { main } = await import('./program.ts');
  const { startMachine } = await import('../sdk/node/start-machine.ts');
  const { stdin, stdout, stderr, env, signals } = environment;
  return main(args, {
    ...{ stdin, stdout, stderr, env, signals },
    startMachine(options) {
      collectAfterStart();
      return startMachine(options);
    },
  });
}
