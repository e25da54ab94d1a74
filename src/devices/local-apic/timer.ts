/** The local APIC timer: one-shot, periodic and TSC-deadline. SDM vol. 3A 10.5.4. */
import type { TimerService } from '../../base/clock.ts';
import { type LocalApicState, LVT, LVT_MASKED } from './registers.ts';

const PERIODIC = 1;
const TSC_DEADLINE = 2;

/** A periodic timer raises its interrupt at most this often (ns); the count itself runs at its true speed. */
const MINIMUM_INTERVAL = 100_000;
/** Later deadlines (104 days) are not armed: a double no longer tells them from never. */
const NEVER = 2 ** 53;

export interface ApicTimerOptions {
  readonly state: LocalApicState;
  readonly timers: TimerService;
  /** Input frequency in Hz, before the divider. */
  readonly frequency: number;
  /** The first machine time (ns) at which this processor's TSC is at least `tsc`. */
  readonly tscToNs: (tsc: bigint) => number;
  /** Raises the timer's interrupt; called only while its LVT entry is not masked. */
  readonly expire: () => void;
}

/** Divide configuration: bits 0, 1 and 3 give 2, 4, … 128, 1. SDM vol. 3A figure 10-10. */
function divisor(configuration: number): number {
  const code = (configuration & 3) | ((configuration >>> 1) & 4);
  return code === 7 ? 1 : 2 << code;
}

export function createApicTimer({ state, timers, frequency, tscToNs, expire }: ApicTimerOptions) {
  const alarm = timers.timer(fire);

  const mode = () => (state.lvt[LVT.timer] >>> 17) & 3;
  const tick = () => (divisor(state.divide) * 1e9) / frequency;

  /** Machine time of the next expiry, masked or not; infinite when stopped. */
  function expiry(): number {
    if (mode() === TSC_DEADLINE) {
      return state.tscDeadline === 0n ? Number.POSITIVE_INFINITY : tscToNs(state.tscDeadline);
    }
    return state.counting === 0 ? Number.POSITIVE_INFINITY : state.countStart + state.initialCount * tick();
  }

  /**
   * Brings the state up to now. A masked timer has no alarm, and an alarm may be late, so whatever looks at or changes
   * the timer does this first. Missed periods count as one. True if the timer expired.
   */
  function catchUp(): boolean {
    const now = timers.now();
    if (expiry() > now) return false;
    if (mode() === TSC_DEADLINE) {
      state.tscDeadline = 0n;
    } else if (mode() === PERIODIC) {
      const period = state.initialCount * tick();
      state.countStart += Math.max(1, Math.floor((now - state.countStart) / period)) * period;
    } else {
      state.counting = 0;
    }
    if ((state.lvt[LVT.timer] & LVT_MASKED) === 0) expire();
    return true;
  }

  /** Sets the alarm to the next expiry. No alarm while masked: then nothing can be noticed. */
  function rearm(): void {
    const when = (state.lvt[LVT.timer] & LVT_MASKED) === 0 ? expiry() : Number.POSITIVE_INFINITY;
    if (when < NEVER) alarm.arm(mode() === PERIODIC ? Math.max(when, state.notBefore) : when);
    else alarm.cancel();
  }

  function fire(): void {
    if (catchUp()) state.notBefore = timers.now() + MINIMUM_INTERVAL;
    rearm();
  }

  function currentCount(): number {
    catchUp();
    if (state.counting === 0) return 0;
    const elapsed = Math.floor((timers.now() - state.countStart) / tick());
    return Math.min(Math.max(state.initialCount - elapsed, 0), state.initialCount);
  }

  return {
    catchUp,
    rearm,
    currentCount,

    /** A write of the initial count starts the timer, 0 stops it; ignored in TSC-deadline mode. */
    setInitialCount(value: number): void {
      if (mode() === TSC_DEADLINE) return;
      catchUp();
      state.initialCount = value;
      state.countStart = timers.now();
      state.counting = value === 0 ? 0 : 1;
      rearm();
    },

    /** The count goes on from where it is, at the new speed. */
    setDivide(value: number): void {
      const count = currentCount();
      state.divide = value;
      state.countStart = timers.now() - (state.initialCount - count) * tick();
      rearm();
    },

    /** Going into or out of TSC-deadline mode disarms the timer. */
    setLvt(value: number): void {
      catchUp();
      const before = mode();
      state.lvt[LVT.timer] = value;
      if (before !== mode() && (before === TSC_DEADLINE || mode() === TSC_DEADLINE)) {
        state.counting = 0;
        state.initialCount = 0;
        state.tscDeadline = 0n;
      }
      rearm();
    },

    /** IA32_TSC_DEADLINE reads 0 once it has expired. */
    tscDeadline(): bigint {
      catchUp();
      return state.tscDeadline;
    },

    /** Arms the timer, at once if the deadline has passed; 0 disarms. Ignored in the other modes. */
    setTscDeadline(value: bigint): void {
      if (mode() !== TSC_DEADLINE) return;
      catchUp();
      state.tscDeadline = value;
      catchUp();
      rearm();
    },
  };
}

export type ApicTimer = ReturnType<typeof createApicTimer>;
