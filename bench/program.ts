/** The benchmarks as programs. */
import { VirtsError } from '../src/base/errors.ts';
import { Interrupted, interruptible } from '../src/cli/interrupt.ts';

/** The value of an option that counts something. @throws VirtsError `usage`. */
export function count(name: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1) throw new VirtsError('usage', `--${name} takes a number from 1 up.`);
  return number;
}

/** Runs one to its exit status. What was foreseen to go wrong is told in a sentence. */
export async function runBench(main: (signal: AbortSignal) => Promise<number>): Promise<void> {
  try {
    process.exitCode = await interruptible(process, main);
  } catch (error) {
    if (!(error instanceof VirtsError || error instanceof Interrupted)) throw error;
    process.stderr.write(`bench: ${error.message}\n`);
    process.exitCode = error instanceof Interrupted ? error.status : 2;
  }
}
