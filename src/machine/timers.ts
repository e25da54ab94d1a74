/** The alarms of a machine's devices: deadlines in machine time, fired by whoever runs the machine. */
import type { Clock, Timer, TimerService } from '../base/clock.ts';

export interface MachineTimers extends TimerService {
  /** The earliest deadline in machine time (ns), or Infinity. It may have passed. */
  next(): number;
  /**
   * Fires every timer whose deadline is not after `now`, which must not be later than the clock: in order of deadlines,
   * equal ones in the order in which the timers were made. A timer fires once at most; one that is armed again for a
   * time that has passed waits for the next run. Returns how many fired.
   */
  run(now?: number): number;
}

interface Alarm {
  /** Infinity while not armed. */
  deadline: number;
  /** The last run in which it fired. */
  round: number;
  readonly fire: () => void;
}

/**
 * Timers over a clock. Which of two equal deadlines comes first depends on neither the order of arming nor a restore, so
 * that a restored machine goes on as the saved one would have.
 */
export function createTimers(clock: Clock): MachineTimers {
  const alarms: Alarm[] = [];
  let round = 0;
  let earliest = Number.POSITIVE_INFINITY;

  function findEarliest(): void {
    earliest = Number.POSITIVE_INFINITY;
    for (const { deadline } of alarms) if (deadline < earliest) earliest = deadline;
  }

  function set(alarm: Alarm, deadline: number): void {
    const before = alarm.deadline;
    alarm.deadline = deadline;
    if (deadline <= earliest) earliest = deadline;
    else if (before === earliest) findEarliest();
  }

  /** The first alarm that is due and has not fired in this round. */
  function due(now: number): Alarm | undefined {
    let first: Alarm | undefined;
    for (const alarm of alarms) {
      if (alarm.deadline > now || alarm.round === round) continue;
      if (first === undefined || alarm.deadline < first.deadline) first = alarm;
    }
    return first;
  }

  return {
    now: () => clock.now(),
    next: () => earliest,
    timer(fire) {
      const alarm: Alarm = { deadline: Number.POSITIVE_INFINITY, round: 0, fire };
      alarms.push(alarm);
      const timer: Timer = {
        arm(deadline) {
          // A deadline that is no number would never come and hide the others.
          set(alarm, Number.isNaN(deadline) ? Number.POSITIVE_INFINITY : deadline);
        },
        cancel() {
          set(alarm, Number.POSITIVE_INFINITY);
        },
      };
      return timer;
    },
    run(now = clock.now()) {
      if (earliest > now) return 0;
      round++;
      let fired = 0;
      for (let alarm = due(now); alarm !== undefined; alarm = due(now)) {
        alarm.round = round;
        set(alarm, Number.POSITIVE_INFINITY);
        fired++;
        alarm.fire();
      }
      return fired;
    },
  };
}
