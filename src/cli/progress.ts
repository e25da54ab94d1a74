/** Progress on standard error: a bar that redraws itself on a terminal, one line a step elsewhere. */
import type { Progress, ProgressStep } from '../images/apt/progress.ts';
import type { Output } from './environment.ts';

/** Shortest time between two drawings (ms). */
const REDRAW = 100;
const BAR = 24;

interface Step {
  readonly label: string;
  readonly total: number | undefined;
  /** What is counted; bytes if it is not said. */
  readonly unit?: string | undefined;
  done: number;
}

const amount = (count: number, unit: string | undefined): string =>
  unit === undefined ? `${(count / 1e6).toFixed(1)} MB` : `${count} ${unit}`;

/** One line for a step, no longer than `columns`. */
export function drawStep(step: Step, columns: number): string {
  if (step.total === undefined || step.total <= 0) return `${step.label} …`.slice(0, columns);
  const part = Math.min(1, Math.max(0, step.done / step.total));
  const filled = Math.round(part * BAR);
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]`;
  const figures = `${Math.floor(part * 100)
    .toString()
    .padStart(3)} % of ${amount(step.total, step.unit)}`;
  return `${step.label}  ${bar} ${figures}`.slice(0, columns);
}

function terminalProgress(output: Output): Progress {
  const steps: Step[] = [];
  let drawn = Number.NEGATIVE_INFINITY;
  const draw = (force: boolean): void => {
    const now = performance.now();
    if (!force && now - drawn < REDRAW) return;
    drawn = now;
    const step = steps[0];
    output.write(`\r\x1b[K${step === undefined ? '' : drawStep(step, (output.columns ?? 80) - 1)}`);
  };
  return {
    step(label, total, unit) {
      const step: Step = { label, total, unit, done: 0 };
      steps.push(step);
      draw(true);
      return {
        advance(count) {
          step.done += count;
          draw(false);
        },
        end() {
          const at = steps.indexOf(step);
          if (at >= 0) steps.splice(at, 1);
          draw(true);
        },
      };
    },
    warn(message) {
      output.write(`\r\x1b[Kvirts: ${message}\n`);
      draw(true);
    },
  };
}

function plainProgress(output: Output): Progress {
  const quiet: ProgressStep = { advance: () => {}, end: () => {} };
  return {
    step(label, total, unit) {
      output.write(`virts: ${label}${total === undefined ? '' : ` (${amount(total, unit)})`}\n`);
      return quiet;
    },
    warn: (message) => void output.write(`virts: ${message}\n`),
  };
}

/** Shows progress on `output` in the way that fits it. */
export function showProgress(output: Output): Progress {
  return output.isTTY === true ? terminalProgress(output) : plainProgress(output);
}
