/** Signals that end a command, turned into an abort so that it can clean up. */
import type { Signals } from './environment.ts';

/** Numbers of the signals; a command that one ended has the status 128 + number, as in a shell. */
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** The reason of an abort by a signal. */
export class Interrupted extends Error {
  /** Exit status. */
  readonly status: number;

  constructor(name: keyof typeof SIGNALS) {
    super(`Ended by ${name}.`);
    this.name = 'Interrupted';
    this.status = 128 + SIGNALS[name];
  }
}

/** Runs `work` with a signal that SIGINT, SIGTERM and SIGHUP abort. */
export async function interruptible<T>(signals: Signals, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const listeners = (Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]).map(
    (name) => [name, () => controller.abort(new Interrupted(name))] as const,
  );
  for (const [name, listener] of listeners) signals.on(name, listener);
  try {
    return await work(controller.signal);
  } catch (error) {
    // What an interrupted operation throws differs; the signal is why.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    for (const [name, listener] of listeners) signals.off(name, listener);
  }
}
