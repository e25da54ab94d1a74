/** The real-time clock and its 128 bytes of battery-backed memory: an MC146818 (Motorola datasheet ADI-1010). */
import type { TimerService, WallClock } from '../../base/clock.ts';
import { type StructView, struct } from '../../base/struct.ts';
import { byteRegion } from '../byte-region.ts';
import { checkState } from '../check-state.ts';
import type { Device, Line, Place } from '../device.ts';
import { ticksAt, ticksToNs } from '../ticks.ts';
import {
  calendarAt,
  loadCalendar,
  nextAlarm,
  secondsOf,
  storeCalendar,
  TIME_REGISTERS,
  TWENTY_FOUR_HOURS,
} from './calendar.ts';

const schema = struct('rtc', 1, {
  index: 'u8',
  /** Registers A and B at 10 and 11. The time and date hold only while the clock is stopped; else they follow `offset`. */
  cmos: ['u8', 128],
  /** Register C without IRQF: interrupt causes since it was last read, as far as `seen`. */
  causes: 'u8',
  /** Seconds that the guest's clock is ahead of the wall clock. */
  offset: 'f64',
  /** Nanoseconds, below a second, that its seconds begin earlier than the wall clock's. */
  phase: 'f64',
  /** Days, 0 to 6, that the guest's weekday is ahead of the date's. */
  weekdayOffset: 'u8',
  /** Machine time in nanoseconds up to which causes were collected. */
  seen: 'f64',
});

type RtcState = StructView<(typeof schema)['fields']>;

const A = 10;
const B = 11;
const C = 12;
const D = 13;
/** Register A: an update is about to happen. */
const UPDATE_IN_PROGRESS = 0x80;
/** Register B. */
const SET = 0x80;
const UPDATE_ENABLE = 0x10;
const SQUARE_WAVE_ENABLE = 0x08;
/** Registers B (enables) and C (causes) have the same bits. */
const PERIODIC = 0x40;
const ALARM = 0x20;
const UPDATE = 0x10;
const CAUSES = PERIODIC | ALARM | UPDATE;
/** Register C. */
const IRQF = 0x80;
/** Register D: the battery is good. */
const VALID_RAM_AND_TIME = 0x80;

const NS_PER_SECOND = 1e9;
const CRYSTAL_HZ = 32_768;
/** UIP rises this long before the update. */
const UPDATE_WARNING_NS = 244_000;

/** Fields that a reset leaves alone because the battery keeps them. */
export const RTC_RETAINED = ['cmos', 'offset', 'phase', 'weekdayOffset'] as const;

export interface RtcOptions {
  readonly place: Place;
  readonly timers: TimerService;
  readonly wall: WallClock;
  /** To IRQ 8; high until register C is read. */
  readonly irq: Line;
}

export interface Rtc extends Device<(typeof schema)['fields']> {
  /** Puts a byte (0 to 255) at a CMOS address from 14 to 127 as firmware would, e.g. the memory size. Resets keep it. */
  preset(address: number, value: number): void;
}

function isDividerReset(a: number): boolean {
  return (a & 0x60) === 0x60;
}

/** Whether the time stands still, so that the guest can set it. */
function isStopped(s: RtcState): boolean {
  return (s.cmos[B] & SET) !== 0 || isDividerReset(s.cmos[A]);
}

/** Ticks of the crystal between periodic interrupts, or 0 for none. */
function periodTicks(a: number): number {
  const rate = a & 15;
  if (rate === 0 || isDividerReset(a)) return 0;
  return 2 ** (rate <= 2 ? rate + 6 : rate - 1);
}

/** Region `port`: 2 ports, index and data (0x70, 0x71). The index port's NMI mask, bit 7, is ignored. */
export function createRtc({ place, timers, wall, irq }: RtcOptions): Rtc {
  const state = place(schema, (fresh) => {
    // 32.768 kHz crystal, 1024 Hz periodic rate: what every firmware sets.
    fresh.cmos[A] = 0x26;
    fresh.cmos[B] = TWENTY_FOUR_HOURS;
  });
  const timer = timers.timer(() => update());
  const now = () => Math.floor(timers.now());

  /** What must be added to the machine's time to get a time whose whole seconds are the guest's. */
  const shift = () => Math.floor((((wall.epoch % 1000) + 1000) % 1000) * 1e6) + state.phase;
  const secondsAt = (ns: number) =>
    Math.floor(wall.epoch / 1000) + Math.floor((ns + shift()) / NS_PER_SECOND) + state.offset;

  /** Puts the time into its registers. */
  function latchTime(ns: number): void {
    const calendar = calendarAt(secondsAt(ns));
    const weekday = ((calendar.weekday - 1 + state.weekdayOffset) % 7) + 1;
    storeCalendar(state.cmos, { ...calendar, weekday }, state.cmos[B]);
  }

  /** Lets the time run on from what its registers say. */
  function runFromRegisters(ns: number): void {
    const calendar = loadCalendar(state.cmos, state.cmos[B]);
    const seconds = secondsOf(calendar);
    state.offset += seconds - secondsAt(ns);
    state.weekdayOffset = (calendar.weekday + 7 - (calendarAt(seconds).weekday % 7)) % 7;
  }

  /** Collects what happened up to `ns`. Everything that changes a rate, a format or the time does this first. */
  function collect(ns: number): void {
    const [from, to] = [state.seen + shift(), ns + shift()];
    const period = periodTicks(state.cmos[A]);
    const periods = (at: number) => Math.floor(ticksAt(at, CRYSTAL_HZ) / period);
    if (period > 0 && periods(to) > periods(from)) state.causes |= PERIODIC;
    const [before, after] = [secondsAt(state.seen), secondsAt(ns)];
    state.seen = ns;
    if (isStopped(state) || after <= before) return;
    state.causes |= UPDATE;
    const alarm = nextAlarm(state.cmos, state.cmos[B], before);
    if (alarm !== undefined && alarm <= after) state.causes |= ALARM;
  }

  const isInterrupting = () => (state.causes & state.cmos[B] & CAUSES) !== 0;

  /** When the next enabled cause comes, in machine time; causes that nobody waits for need no event. */
  function nextCause(ns: number): number {
    const enabled = state.cmos[B] & CAUSES;
    const local = ns + shift();
    let next = Number.POSITIVE_INFINITY;
    const period = periodTicks(state.cmos[A]);
    if (enabled & PERIODIC && period > 0) {
      const tick = (Math.floor(ticksAt(local, CRYSTAL_HZ) / period) + 1) * period;
      next = ticksToNs(tick, CRYSTAL_HZ);
    }
    if (!isStopped(state)) {
      const second = Math.floor(local / NS_PER_SECOND);
      if (enabled & UPDATE) next = Math.min(next, (second + 1) * NS_PER_SECOND);
      const today = secondsAt(ns);
      const alarm = enabled & ALARM ? nextAlarm(state.cmos, state.cmos[B], today) : undefined;
      if (alarm !== undefined) next = Math.min(next, (second + alarm - today) * NS_PER_SECOND);
    }
    return next - shift();
  }

  function drive(ns: number): void {
    irq.set(isInterrupting());
    const next = isInterrupting() ? Number.POSITIVE_INFINITY : nextCause(ns);
    if (next === Number.POSITIVE_INFINITY) timer.cancel();
    else timer.arm(next);
  }

  function update(): void {
    const ns = now();
    collect(ns);
    drive(ns);
  }

  /** Writes register A or B, which may stop the time or let it run on. */
  function writeControl(address: number, value: number, ns: number): void {
    const wasStopped = isStopped(state);
    const wasReset = isDividerReset(state.cmos[A]);
    const next = address === A ? value & 0x7f : value & SET ? value & ~UPDATE_ENABLE : value;
    const stops = (address === B && (next & SET) !== 0) || (address === A && isDividerReset(next));
    if (stops && !wasStopped) latchTime(ns);
    state.cmos[address] = next;
    // The first update comes half a second after the divider is let go.
    if (wasReset && !isDividerReset(state.cmos[A])) {
      const fraction = (ns + shift()) % NS_PER_SECOND;
      state.phase = (state.phase + 1.5 * NS_PER_SECOND - fraction) % NS_PER_SECOND;
    }
    if (wasStopped && !isStopped(state)) runFromRegisters(ns);
  }

  function writeData(value: number): void {
    const ns = now();
    collect(ns);
    const address = state.index;
    if (address === A || address === B) {
      writeControl(address, value, ns);
    } else if (TIME_REGISTERS.has(address) && !isStopped(state)) {
      latchTime(ns);
      state.cmos[address] = value;
      runFromRegisters(ns);
    } else if (address !== C && address !== D) {
      state.cmos[address] = value;
    }
    drive(ns);
  }

  function readData(): number {
    const ns = now();
    const address = state.index;
    if (address === C) {
      collect(ns);
      const causes = state.causes | (isInterrupting() ? IRQF : 0);
      state.causes = 0;
      drive(ns);
      return causes;
    }
    if (address === D) return VALID_RAM_AND_TIME;
    if (isStopped(state)) return state.cmos[address];
    if (address === A) {
      const untilUpdate = NS_PER_SECOND - ((ns + shift()) % NS_PER_SECOND);
      return state.cmos[A] | (untilUpdate <= UPDATE_WARNING_NS ? UPDATE_IN_PROGRESS : 0);
    }
    if (TIME_REGISTERS.has(address)) latchTime(ns);
    return state.cmos[address];
  }

  return {
    name: 'rtc',
    schema,
    state,
    regions: {
      port: byteRegion(
        2,
        // The index port cannot be read.
        (offset) => (offset === 0 ? 0xff : readData()),
        (offset, value) => {
          if (offset === 0) state.index = value & 0x7f;
          else writeData(value);
        },
      ),
    },
    preset(address, value) {
      if (address > D && address < 128) state.cmos[address] = value;
    },
    reset() {
      const ns = now();
      state.index = 0;
      state.cmos[B] &= ~(CAUSES | SQUARE_WAVE_ENABLE);
      state.causes = 0;
      state.seen = ns;
      drive(ns);
    },
    restored() {
      checkState('rtc', {
        index: state.index < 128,
        cmos: (state.cmos[A] & 0x80) === 0,
        causes: (state.causes & ~CAUSES) === 0,
        // More than the calendar's 16,665 years is no offset that a guest can set.
        offset: Number.isInteger(state.offset) && Math.abs(state.offset) < 1e12,
        phase: Number.isInteger(state.phase) && state.phase >= 0 && state.phase < NS_PER_SECOND,
        weekdayOffset: state.weekdayOffset < 7,
        seen: Number.isSafeInteger(state.seen) && state.seen >= 0,
      });
      drive(now());
    },
  };
}
