/**
 * The alarms of a machine's devices. Deadlines lie in shared memory, so that whichever thread runs the machine fires what
 * is due, whoever armed it; what fires is code, which every thread has of its own.
 */
import type { Clock, Timer, TimerService } from '../base/clock.ts';
import { VirtsError } from '../base/errors.ts';
import { allocate, struct } from '../base/struct.ts';
import type { Place } from '../devices/device.ts';

/**
 * All threads of a machine make the same timers in the same order. Everything but `next` is to be called under the
 * machine's lock.
 */
export interface MachineTimers extends TimerService {
  /**
   * Makes timers of one vCPU, whose thread is to wake up for them: those of its local APIC. Others, made by `timer`, are
   * vCPU 0's.
   */
  of(vcpu: number): TimerService;
  /**
   * The earliest deadline in machine time (ns) among the timers of `vcpu`, or of all; Infinity if none is armed. It may
   * have passed. Needs no lock.
   */
  next(vcpu?: number): number;
  /**
   * Fires every timer, whosever it is, whose deadline is not after `now`, which must not be later than the clock: in order
   * of deadlines, equal ones in the order in which the timers were made. A timer fires once at most; one that is armed
   * again for a time that has passed waits for the next run. Returns how many fired.
   */
  run(now?: number): number;
}

export interface TimersOptions {
  /** Where the deadlines lie; memory of this thread's own if absent. */
  readonly place?: Place;
  /** 1 if absent. */
  readonly vcpus?: number;
  /**
   * The earliest deadline of `vcpu` is now `deadline`, which is before the one that `next` gave: its thread must not sleep,
   * or run on, past it.
   */
  armed?(deadline: number, vcpu: number): void;
}

/** The most timers of a machine. */
const CAPACITY = 512;

/** `earliest` is one number for each vCPU. */
function timersSchema(vcpus: number) {
  return struct('timers', 1, { deadlines: ['f64', CAPACITY], earliest: ['f64', vcpus] });
}

interface Alarm {
  readonly vcpu: number;
  /** The last run of this thread in which it fired. */
  round: number;
  readonly fire: () => void;
}

/**
 * Timers over a clock. Which of two equal deadlines comes first depends on neither the order of arming nor a restore, so
 * that a restored machine goes on as the saved one would have. Deadlines are doubles that `next` reads without a lock:
 * machines of several threads run on 64-bit hosts, which never tear an aligned double.
 */
export function createTimers(clock: Clock, options: TimersOptions = {}): MachineTimers {
  const { place = allocate, vcpus = 1, armed } = options;
  /** Infinity while not armed. */
  const { deadlines, earliest } = place(timersSchema(vcpus), (state) => {
    state.deadlines.fill(Number.POSITIVE_INFINITY);
    state.earliest.fill(Number.POSITIVE_INFINITY);
  });
  const alarms: Alarm[] = [];
  let round = 0;

  function findEarliest(vcpu: number): number {
    let first = Number.POSITIVE_INFINITY;
    for (let index = 0; index < alarms.length; index++) {
      if (alarms[index].vcpu === vcpu && deadlines[index] < first) first = deadlines[index];
    }
    return first;
  }

  function set(index: number, vcpu: number, deadline: number): void {
    const before = deadlines[index];
    deadlines[index] = deadline;
    if (deadline < earliest[vcpu]) {
      earliest[vcpu] = deadline;
      armed?.(deadline, vcpu);
    } else if (before === earliest[vcpu] && before !== deadline) {
      earliest[vcpu] = findEarliest(vcpu);
    }
  }

  function make(vcpu: number, fire: () => void): Timer {
    const index = alarms.length;
    if (index === CAPACITY || !(vcpu < vcpus)) {
      throw new VirtsError('internal', `Timers are for ${vcpus} vCPUs, ${CAPACITY} in all.`, { index, vcpu });
    }
    alarms.push({ vcpu, round: 0, fire });
    return {
      arm(deadline) {
        // A deadline that is no number would never come and hide the others.
        set(index, vcpu, Number.isNaN(deadline) ? Number.POSITIVE_INFINITY : deadline);
      },
      cancel() {
        set(index, vcpu, Number.POSITIVE_INFINITY);
      },
    };
  }

  /** The first alarm that is due and has not fired in this round, or -1. */
  function due(now: number): number {
    let first = -1;
    for (let index = 0; index < alarms.length; index++) {
      const deadline = deadlines[index];
      if (deadline > now || alarms[index].round === round) continue;
      if (first < 0 || deadline < deadlines[first]) first = index;
    }
    return first;
  }

  function next(vcpu?: number): number {
    if (vcpu !== undefined) return earliest[vcpu];
    let first = earliest[0];
    for (let other = 1; other < vcpus; other++) if (earliest[other] < first) first = earliest[other];
    return first;
  }

  return {
    now: () => clock.now(),
    timer: (fire) => make(0, fire),
    of: (vcpu) => ({ now: () => clock.now(), timer: (fire) => make(vcpu, fire) }),
    next,
    run(now = clock.now()) {
      if (next() > now) return 0;
      round++;
      let fired = 0;
      for (let index = due(now); index >= 0; index = due(now)) {
        const alarm = alarms[index];
        alarm.round = round;
        set(index, alarm.vcpu, Number.POSITIVE_INFINITY);
        fired++;
        alarm.fire();
      }
      return fired;
    },
  };
}
