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

/** Machine time is the host's plus `offset`; while it is stopped, it is `stoppedAt`. */
const REAL_CLOCK = struct('real-clock', 1, { offset: 'f64', stoppedAt: 'f64', stopped: 'u32' });

/**
 * Time as it passes on the host, from 0 at the call. `hostNow` gives nanoseconds from any origin; should it step back, the
 * machine's time waits for it. It is the host's business that all threads of a machine see the same origin.
 */
export function realClock(hostNow: () => number, place: Place = allocate): MachineClock {
  const state = place(REAL_CLOCK, (fresh) => {
    fresh.offset = -hostNow();
  });
  /** What this thread saw last, and under which offset. */
  let latest = 0;
  let offset = state.offset;

  function exact(): number {
    if (state.stopped !== 0) return state.stoppedAt;
    if (state.offset !== offset) {
      offset = state.offset;
      latest = 0;
    }
    latest = Math.max(latest, Math.floor(hostNow() + offset));
    return latest;
  }

  return {
    now: exact,
    exact,
    set(time) {
      latest = Math.floor(time);
      state.stoppedAt = latest;
      offset = latest - hostNow();
      state.offset = offset;
    },
    stop() {
      state.stoppedAt = exact();
      state.stopped = 1;
    },
    continue() {
      if (state.stopped === 0) return;
      state.offset = state.stoppedAt - hostNow();
      state.stopped = 0;
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
