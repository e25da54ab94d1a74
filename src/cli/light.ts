/** Commands that talk with a guest's agent. They load little, as a command in the guest takes less time than that. */
import { type ExecEnvironment, exec } from './exec.ts';
import { reportError } from './report-error.ts';

/** Whether a command line is one of these, and no question for help. */
export function isLight([command, first]: readonly string[]): boolean {
  return (command === 'exec' || command === 'cp') && first !== '--help' && first !== '-h';
}

/** Runs it and returns the exit status. Never rejects. */
export async function runLight([command, ...words]: readonly string[], environment: ExecEnvironment): Promise<number> {
  try {
    if (command === 'cp') return await (await import('./cp.ts')).cp(words, environment);
    return await exec(words, environment);
  } catch (error) {
    return reportError(error, environment);
  }
}
