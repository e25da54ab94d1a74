/**
 * The two clocks a machine can run by: the host's time, or the number of instructions that its vCPUs retired. Both give
 * nanoseconds since the machine was first started and go on from a saved time after a restore.
 */
import type { Clock } from '../base/clock.ts';
import { VirtsError } from '../base/errors.ts';
import { allocate, struct } from '../base/struct.ts';
import type { Place } from '../devices/device.ts';

export interface MachineClock extends Clock {
  /** The time with the fraction of a nanosecond that `now` leaves out: what to save. */
  exact(): number;
  /** Goes on from `time` (ns, as `exact` gave it). Timers are not told: arm them again afterwards. */
  set(time: number): void;
  /** Time stands still until `continue`. Stopping twice is stopping once. */
  stop(): void;
  continue(): void;
}

const REAL_CLOCK = struct('real-clock', 1, {
  /** What machine time is ahead of the host's, and the machine time while it stands still (ns). */
  times: ['f64', 2],
  /** 1 while time stands still, and how often time was set. */
  words: ['u32', 2],
});
const [OFFSET, STANDING_AT] = [0, 1];
const [STANDS, SETTINGS] = [0, 1];

/**
 * Time as it passes on the host, from 0 at the call. `hostNow` gives nanoseconds from any origin; should it step back, the
 * machine's time waits for it. Threads that share the clock by `place` must hand in the same time, of the same origin; one
 * of them stops, sets and continues it while no other looks.
 */
export function realClock(hostNow: () => number, place: Place = allocate): MachineClock {
  const { times, words } = place(REAL_CLOCK, (fresh) => {
    fresh.times[OFFSET] = -hostNow();
  });
  let latest = 0;
  let settings = words[SETTINGS];

  function exact(): number {
    if (words[SETTINGS] !== settings) {
      settings = words[SETTINGS];
      latest = Number.NEGATIVE_INFINITY;
    }
    const time = words[STANDS] !== 0 ? times[STANDING_AT] : Math.floor(hostNow() + times[OFFSET]);
    if (time > latest) latest = time;
    return latest;
  }

  return {
    now: exact,
    exact,
    set(time) {
      times[STANDING_AT] = Math.floor(time);
      times[OFFSET] = times[STANDING_AT] - hostNow();
      words[SETTINGS]++;
    },
    stop() {
      times[STANDING_AT] = exact();
      words[STANDS] = 1;
    },
    continue() {
      if (words[STANDS] === 0) return;
      times[OFFSET] = times[STANDING_AT] - hostNow();
      words[STANDS] = 0;
    },
  };
}

export interface CountedClockOptions {
  /** A multiple of 1/1024, above 0, so that no sum of times is ever rounded. */
  readonly nsPerInstruction: number;
  /** Instructions retired so far, never decreasing; `advanceInstructions` adds to it. 0 if absent. */
  readonly retired?: () => number;
}

export interface CountedClock extends MachineClock {
  /** `count` more instructions were retired. */
  advanceInstructions(count: number): void;
  /** Idle time passes: the clock moves on to `time` (ns) unless it is already there. */
  skipTo(time: number): void;
}

/**
 * Time that follows from the instructions retired and nothing else, so that a run repeats exactly. Throws VirtsError
 * 'internal' for a rate that is no multiple of 1/1024 ns.
 */
export function countedClock({ nsPerInstruction, retired = () => 0 }: CountedClockOptions): CountedClock {
  if (!(nsPerInstruction > 0) || !Number.isInteger(nsPerInstruction * 1024)) {
    throw new VirtsError('internal', `A clock cannot count ${nsPerInstruction} ns an instruction.`);
  }
  let advanced = 0;
  /** Time that did not come from instructions. */
  let skipped = -retired() * nsPerInstruction;
  let stoppedAt: number | undefined;

  const counted = () => (retired() + advanced) * nsPerInstruction;
  const exact = () => stoppedAt ?? counted() + skipped;

  function set(time: number): void {
    skipped = time - counted();
    if (stoppedAt !== undefined) stoppedAt = time;
  }

  return {
    now: () => Math.floor(exact()),
    exact,
    set,
    stop() {
      stoppedAt = exact();
    },
    continue() {
      if (stoppedAt === undefined) return;
      const time = stoppedAt;
      stoppedAt = undefined;
      set(time);
    },
    advanceInstructions(count) {
      advanced += count;
    },
    skipTo(time) {
      if (time > exact()) set(time);
    },
  };
}
