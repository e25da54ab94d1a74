/** Many alarms over one timer of the host: arming again costs a store, as a busy connection does it for each segment. */
import type { Timer, TimerService } from '../base/clock.ts';

export interface Alarms {
  /** Nanoseconds. */
  now(): number;
  /** Costs nothing once it is not armed any more. */
  alarm(fire: () => void): Timer;
  /** Alarms that wait. */
  readonly waiting: number;
}

/** Alarms fire together that lie this close, in nanoseconds. */
const GRAIN = 2_000_000;

export function createAlarms(timers: TimerService): Alarms {
  const deadlines = new Map<Timer, { deadline: number; readonly fire: () => void }>();
  /** When the host's timer fires. */
  let armed = Number.POSITIVE_INFINITY;

  const timer = timers.timer(() => {
    armed = Number.POSITIVE_INFINITY;
    const now = timers.now();
    for (const [alarm, entry] of [...deadlines]) {
      // One that fired before may have cancelled or moved this one.
      if (deadlines.get(alarm) !== entry || entry.deadline > now) continue;
      deadlines.delete(alarm);
      entry.fire();
    }
    let next = Number.POSITIVE_INFINITY;
    for (const { deadline } of deadlines.values()) if (deadline < next) next = deadline;
    wake(next);
  });

  function wake(deadline: number): void {
    if (deadline >= armed) return;
    armed = Math.ceil(deadline / GRAIN) * GRAIN;
    timer.arm(armed);
  }

  return {
    now: () => timers.now(),
    get waiting() {
      return deadlines.size;
    },
    alarm(fire) {
      const alarm: Timer = {
        arm(deadline) {
          const entry = deadlines.get(alarm);
          if (entry === undefined) deadlines.set(alarm, { deadline, fire });
          else entry.deadline = deadline;
          wake(deadline);
        },
        cancel() {
          deadlines.delete(alarm);
        },
      };
      return alarm;
    },
  };
}
