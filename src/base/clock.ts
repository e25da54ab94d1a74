/** Time inside a machine: one monotonic source per VM, handed in. */

/** Nanoseconds since the machine's own epoch, never decreasing. A double: exact for 104 days, then to 2 ns. */
export interface Clock {
  now(): number;
}

/** A one-shot alarm. The owner keeps the deadline in its own state and arms the timer again after a restore. */
export interface Timer {
  /** Fires once when the clock reaches `deadline` (ns), at once if it has passed. Replaces an earlier deadline. */
  arm(deadline: number): void;
  cancel(): void;
}

/** Gives a device its timers. `fire` runs in whichever thread notices the deadline, under the machine's lock. */
export interface TimerService extends Clock {
  timer(fire: () => void): Timer;
}

/** The date, for the real-time clock: milliseconds since 1970-01-01T00:00:00Z at the machine's time 0. */
export interface WallClock {
  readonly epoch: number;
}
