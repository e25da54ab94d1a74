/** A clock that only tests move. */
import type { Timer, TimerService } from './clock.ts';

export interface FakeTimers extends TimerService {
  /** Timers that are waiting for their deadline. */
  readonly armed: number;
  /** Moves the clock on by `ns` (>= 0) and fires, in order of their deadlines, all timers that fall due. */
  advance(ns: number): void;
}

/** More than any test needs at one instant; a timer that always re-arms itself for the past must fail, not hang. */
const MAX_FIRES_AT_ONCE = 100_000;

/** Timers over a clock that starts at 0. A timer armed for the past fires at the next `advance`, also of 0. */
export function fakeTimers(): FakeTimers {
  let now = 0;
  const waiting = new Map<Timer, { deadline: number; fire: () => void }>();

  function earliest(limit: number): [Timer, { deadline: number; fire: () => void }] | undefined {
    let best: [Timer, { deadline: number; fire: () => void }] | undefined;
    for (const entry of waiting) {
      if (entry[1].deadline <= limit && (best === undefined || entry[1].deadline < best[1].deadline)) best = entry;
    }
    return best;
  }

  return {
    get armed() {
      return waiting.size;
    },
    now: () => now,
    timer(fire) {
      const timer: Timer = {
        arm(deadline) {
          if (!Number.isFinite(deadline)) throw new RangeError(`A timer was armed for ${deadline}`);
          waiting.set(timer, { deadline, fire });
        },
        cancel() {
          waiting.delete(timer);
        },
      };
      return timer;
    },
    advance(ns) {
      const end = now + ns;
      let fires = 0;
      for (let due = earliest(end); due !== undefined; due = earliest(end)) {
        const [timer, { deadline, fire }] = due;
        fires = deadline > now ? 0 : fires + 1;
        if (fires > MAX_FIRES_AT_ONCE) throw new Error('A timer keeps re-arming itself for the same instant');
        now = Math.max(now, deadline);
        waiting.delete(timer);
        fire();
      }
      now = end;
    },
  };
}
