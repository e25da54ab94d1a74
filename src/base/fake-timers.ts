/** A clock that only tests move. */
import type { TimerService } from './clock.ts';

export interface FakeTimers extends TimerService {
  /** Timers that are waiting for their deadline. */
  readonly armed: number;
  /** Moves the clock on by `ns` (>= 0) and fires, in order of their deadlines, all timers that fall due. */
  advance(ns: number): void;
  /** The same timers as a further thread has them, which makes them in the same order. */
  further(): FakeTimers;
}

/** More than any test needs at one instant; a timer that always re-arms itself for the past must fail, not hang. */
const MAX_FIRES_AT_ONCE = 100_000;

interface Alarm {
  /** Infinity while not armed. */
  deadline: number;
  /** What it does, for each thread that has made it. */
  readonly fire: (() => void)[];
}

/**
 * Timers over a clock that starts at 0. A timer armed for the past fires at the next `advance`, also of 0; of equal
 * deadlines the timer made first comes first. `turn` gives the thread, below `threads`, in which the next one fires.
 */
export function fakeTimers(turn: (threads: number) => number = () => 0): FakeTimers {
  let now = 0;
  let threads = 0;
  const alarms: Alarm[] = [];

  function earliest(limit: number): Alarm | undefined {
    let best: Alarm | undefined;
    for (const alarm of alarms) {
      if (alarm.deadline <= limit && (best === undefined || alarm.deadline < best.deadline)) best = alarm;
    }
    return best;
  }

  function advance(ns: number): void {
    const end = now + ns;
    let fires = 0;
    for (let due = earliest(end); due !== undefined; due = earliest(end)) {
      fires = due.deadline > now ? 0 : fires + 1;
      if (fires > MAX_FIRES_AT_ONCE) throw new Error('A timer keeps re-arming itself for the same instant');
      now = Math.max(now, due.deadline);
      due.deadline = Number.POSITIVE_INFINITY;
      due.fire[turn(threads)]();
    }
    now = end;
  }

  function further(): FakeTimers {
    const thread = threads++;
    let made = 0;
    return {
      get armed() {
        return alarms.filter(({ deadline }) => deadline < Number.POSITIVE_INFINITY).length;
      },
      now: () => now,
      timer(fire) {
        if (made === alarms.length) alarms.push({ deadline: Number.POSITIVE_INFINITY, fire: [] });
        const alarm = alarms[made++];
        alarm.fire[thread] = fire;
        return {
          arm(deadline) {
            if (!Number.isFinite(deadline)) throw new RangeError(`A timer was armed for ${deadline}`);
            alarm.deadline = deadline;
          },
          cancel() {
            alarm.deadline = Number.POSITIVE_INFINITY;
          },
        };
      },
      advance,
      further,
    };
  }
  return further();
}
