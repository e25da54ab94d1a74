/** How long work tells a program how far it is. */
import type { Progress } from '../../images/apt/progress.ts';

/** How far a piece of work is: a download, an archive being read, packages that install themselves. */
export interface WorkProgress {
  /** What is being done, in a few words. */
  readonly step: string;
  /** How much of it is done, and, where that is known, how much there is: in bytes, unless `unit` says what is counted. */
  readonly done: number;
  readonly total: number | undefined;
  readonly unit: string | undefined;
  /** It has come to its end, well or not. */
  readonly finished: boolean;
}

/** Shortest time between two calls about a step that goes on (ms). */
const INTERVAL = 100;

/** Tells of progress by a function, if there is one; `warn` gets what a user should know although the work goes on. */
export function callbackProgress(
  callback: ((progress: WorkProgress) => void) | undefined,
  warn: (message: string) => void,
): Progress {
  return {
    warn,
    step(step, total, unit) {
      let done = 0;
      let last = Number.NEGATIVE_INFINITY;
      const tell = (finished: boolean): void => {
        last = performance.now();
        callback?.({ step, done, total, unit, finished });
      };
      tell(false);
      return {
        advance(count) {
          done += count;
          if (performance.now() - last >= INTERVAL) tell(false);
        },
        end: () => tell(true),
      };
    },
  };
}
