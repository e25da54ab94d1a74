import type { TimerService } from '../../base/clock.ts';
import { allTimes, checkState } from '../check-state.ts';
import type { AccessSize, Device, Line, Place, Region } from '../device.ts';
import {
  counterAt,
  HPET_COMPARATORS,
  HPET_TICK,
  type HpetState,
  hpetSchema,
  matchTime,
  passMatches,
  running,
  TIMER,
  widthMask,
} from './counter.ts';

/** Revision 1, three comparators, 64-bit counter, legacy replacement capable, Intel's vendor id. */
const CAPABILITIES = 0x8086_a001 | ((HPET_COMPARATORS - 1) << 8);
const FEMTOSECONDS_PER_TICK = HPET_TICK * 1_000_000;

const LEGACY = 2;
const TIMER_CAPABILITIES = TIMER.periodicCapable | TIMER.wide;
const TIMER_WRITABLE = TIMER.level | TIMER.enable | TIMER.periodic | TIMER.setValue | TIMER.narrow | TIMER.route;

/** A periodic comparator raises its interrupt at most this often (ns); its accumulator keeps true time. */
const MINIMUM_INTERVAL = 100_000;
/** Later deadlines (104 days) are not armed: a double no longer tells them from never. */
const NEVER = 2 ** 53;

export interface HpetOptions {
  readonly name: string;
  readonly place: Place;
  readonly timers: TimerService;
  /** I/O APIC inputs (0–31) that comparators may be routed to, by number. */
  readonly routes: Readonly<Record<number, Line>>;
  /** Where comparators 0 and 1 go in legacy replacement mode: IRQ 0 (I/O APIC input 2) and IRQ 8. */
  readonly legacy: readonly [Line, Line];
  /** Tells the board to disconnect PIT and RTC from IRQ 0 and IRQ 8, or to connect them again. */
  readonly replaceLegacy: (on: boolean) => void;
}

export interface Hpet extends Device<typeof hpetSchema.fields> {
  /** 1 KiB, at 0xfed00000 on a PC. */
  readonly regions: { readonly registers: Region };
}

/**
 * The high-precision event timer: three comparators, all able to be periodic; no message-signalled delivery.
 * IA-PC HPET specification 1.0a. A 64-bit access arrives as two of 32 bits, low half first.
 */
export function createHpet(options: HpetOptions): Hpet {
  const { name, timers, legacy } = options;
  const state: HpetState = options.place(hpetSchema);
  const routes = new Map(Object.entries(options.routes).map(([input, line]) => [Number(input), line]));
  const routeMask = [...routes.keys()].reduce((mask, input) => mask | (1 << input), 0) >>> 0;
  const alarms = Array.from({ length: HPET_COMPARATORS }, (_, index) => timers.timer(() => fire(index)));

  const isLegacy = (index: number) => (state.configuration & LEGACY) !== 0 && index < 2;

  /** The line a comparator drives with its present configuration. */
  function lineOf(index: number): Line | undefined {
    if (isLegacy(index)) return legacy[index];
    return routes.get((state.timer[index] & TIMER.route) >>> 9);
  }

  const isLevel = (index: number) => (state.timer[index] & TIMER.level) !== 0;
  const isEnabled = (index: number) => running(state) && (state.timer[index] & TIMER.enable) !== 0;

  /** Comparators share a line by OR: level-triggered ones, and legacy ones between their edges. */
  function driveLines(): void {
    const asserted = new Set<Line>();
    for (let index = 0; index < HPET_COMPARATORS; index++) {
      const line = lineOf(index);
      const raised = ((isLevel(index) ? state.status : state.held) >>> index) & 1;
      if (line !== undefined && isEnabled(index) && raised !== 0) asserted.add(line);
    }
    for (const line of [...legacy, ...routes.values()]) line.set(asserted.has(line));
  }

  /** Notices the matches since the last look; an alarm may be late, and a comparator without interrupt has none. */
  function catchUp(): void {
    if (!running(state)) return;
    const now = counterAt(state, timers.now());
    for (let index = 0; index < HPET_COMPARATORS; index++) {
      if (passMatches(state, index, now)) match(index);
    }
  }

  function match(index: number): void {
    if (isLevel(index)) {
      state.status |= 1 << index;
      driveLines();
    } else if (isEnabled(index)) {
      raiseEdge(index);
    }
  }

  /**
   * A PIC forgets a request whose line falls before the acknowledge, so a legacy line falls only just before its next
   * edge. An I/O APIC remembers: its inputs, which other devices may share, see a pulse.
   */
  function raiseEdge(index: number): void {
    const line = lineOf(index);
    if (isLegacy(index)) {
      line?.set(false);
      state.held |= 1 << index;
    } else {
      line?.set(true);
    }
    driveLines();
  }

  /** No alarm if a match would change nothing: no interrupt wanted, or a level already asserted. */
  function rearm(index: number): void {
    const pending = isLevel(index) && ((state.status >>> index) & 1) !== 0;
    const when = isEnabled(index) && !pending ? matchTime(state, index) : Number.POSITIVE_INFINITY;
    if (when >= NEVER) alarms[index].cancel();
    else alarms[index].arm((state.timer[index] & TIMER.periodic) === 0 ? when : Math.max(when, state.notBefore[index]));
  }

  function fire(index: number): void {
    if (running(state) && passMatches(state, index, counterAt(state, timers.now()))) {
      state.notBefore[index] = timers.now() + MINIMUM_INTERVAL;
      match(index);
    }
    rearm(index);
  }

  function update(): void {
    for (let index = 0; index < HPET_COMPARATORS; index++) {
      if (!isLegacy(index) || !isEnabled(index) || isLevel(index)) state.held &= ~(1 << index);
      rearm(index);
    }
    driveLines();
  }

  /** A 32-bit register; `offset` is a multiple of 4. */
  function readRegister(offset: number): number {
    if (offset >= 0x100) return readTimer((offset - 0x100) >> 5, offset & 0x1f);
    switch (offset) {
      case 0x00:
        return CAPABILITIES >>> 0;
      case 0x04:
        return FEMTOSECONDS_PER_TICK;
      case 0x10:
        return state.configuration;
      case 0x20:
        return state.status;
      case 0xf0:
        return half(counterAt(state, timers.now()), 0);
      case 0xf4:
        return half(counterAt(state, timers.now()), 1);
      default:
        return 0;
    }
  }

  function readTimer(index: number, register: number): number {
    if (index >= HPET_COMPARATORS) return 0;
    switch (register) {
      case 0x00:
        return state.timer[index] | TIMER_CAPABILITIES;
      case 0x04:
        return routeMask;
      case 0x08:
        return half(state.comparator[index], 0);
      case 0x0c:
        return half(state.comparator[index], 1);
      default:
        return 0;
    }
  }

  function writeRegister(offset: number, value: number, lowHalfSet: number): void {
    if (offset >= 0x100) {
      writeTimer((offset - 0x100) >> 5, offset & 0x1f, value, lowHalfSet);
      return;
    }
    if (offset === 0x10) writeConfiguration(value & 3);
    else if (offset === 0x20) state.status &= ~value;
    else if (offset === 0xf0) setCounter(withHalf(counterAt(state, timers.now()), 0, value));
    else if (offset === 0xf4) setCounter(withHalf(counterAt(state, timers.now()), 1, value));
  }

  function writeConfiguration(value: number): void {
    const changed = state.configuration ^ value;
    const counter = counterAt(state, timers.now());
    state.configuration = value;
    if ((changed & 1) !== 0) setCounter(counter);
    if ((changed & LEGACY) !== 0) options.replaceLegacy((value & LEGACY) !== 0);
  }

  /** The counter goes on from `value`; values it jumps over are no matches. */
  function setCounter(value: bigint): void {
    state.counter = value;
    state.startedAt = Math.floor(timers.now());
    state.seen.fill(value);
  }

  function writeTimer(index: number, register: number, value: number, lowHalfSet: number): void {
    if (index >= HPET_COMPARATORS) return;
    if (register === 0x00) writeTimerConfiguration(index, value);
    else if (register === 0x08) writeComparator(index, 0, value, false);
    else if (register === 0x0c) writeComparator(index, 1, value, lowHalfSet === index + 1);
  }

  /** A route that is not offered leaves the old one, which tells software when it reads back. */
  function writeTimerConfiguration(index: number, value: number): void {
    let written = value & TIMER_WRITABLE;
    const input = (written & TIMER.route) >>> 9;
    if (((routeMask >>> input) & 1) === 0) written = (written & ~TIMER.route) | (state.timer[index] & TIMER.route);
    if ((written & TIMER.periodic) === 0) written &= ~TIMER.setValue;
    if ((written & TIMER.level) === 0) state.status &= ~(1 << index);
    state.timer[index] = written;
    state.comparator[index] &= widthMask(state, index);
    state.period[index] &= widthMask(state, index);
  }

  /**
   * One-shot: the match. Periodic: the period, and with "set value" the next match too, which clears that bit; the high
   * half of the same 64-bit write still counts as set.
   */
  function writeComparator(index: number, part: 0 | 1, value: number, sameWrite: boolean): void {
    const mask = widthMask(state, index);
    const periodic = (state.timer[index] & TIMER.periodic) !== 0;
    const set = sameWrite || (state.timer[index] & TIMER.setValue) !== 0;
    if (periodic) state.period[index] = withHalf(state.period[index], part, value) & mask;
    if (!periodic || set) {
      state.comparator[index] = withHalf(state.comparator[index], part, value) & mask;
      // A comparator set to the present value matches now.
      state.seen[index] = counterAt(state, timers.now()) - 1n;
    }
    if (periodic && set && part === 0) state.lowHalfSet = index + 1;
    state.timer[index] &= ~TIMER.setValue;
  }

  function read(offset: number, size: AccessSize): number {
    state.lowHalfSet = 0;
    catchUp();
    const lane = offset & 3;
    if (lane + size > 4) return 0;
    const shifted = readRegister(offset - lane) >>> (lane * 8);
    return size === 4 ? shifted : shifted & (size === 2 ? 0xffff : 0xff);
  }

  /** Only aligned 32-bit writes (and 64-bit ones as two) are defined. */
  function write(offset: number, size: AccessSize, value: number): void {
    const { lowHalfSet } = state;
    state.lowHalfSet = 0;
    catchUp();
    if (size !== 4 || (offset & 3) !== 0) return;
    writeRegister(offset, value, lowHalfSet);
    update();
  }

  function reset(): void {
    const wasLegacy = (state.configuration & LEGACY) !== 0;
    state.configuration = 0;
    state.status = 0;
    state.held = 0;
    state.timer.fill(0);
    state.comparator.fill((1n << 64n) - 1n);
    state.period.fill(0n);
    state.seen.fill(0n);
    state.counter = 0n;
    state.startedAt = 0;
    state.notBefore.fill(0);
    state.lowHalfSet = 0;
    if (wasLegacy) options.replaceLegacy(false);
    update();
  }

  function restored(): void {
    checkState(name, {
      configuration: state.configuration <= 3,
      status: state.status >>> HPET_COMPARATORS === 0,
      held: state.held <= 3,
      timer: state.timer.every((value) => (value & ~TIMER_WRITABLE) === 0),
      comparator: state.comparator.every((value, index) => value <= widthMask(state, index)),
      period: state.period.every((value, index) => value <= widthMask(state, index)),
      startedAt: allTimes([state.startedAt]),
      notBefore: state.notBefore.every((time) => Math.abs(time) <= Number.MAX_SAFE_INTEGER),
    });
    options.replaceLegacy((state.configuration & LEGACY) !== 0);
    update();
  }

  return {
    name,
    schema: hpetSchema,
    state,
    regions: { registers: { size: 1024, read, write } },
    reset,
    restored,
  };
}

function half(value: bigint, part: 0 | 1): number {
  return Number((part === 0 ? value : value >> 32n) & 0xffff_ffffn);
}

function withHalf(value: bigint, part: 0 | 1, bits: number): bigint {
  const other = BigInt(half(value, part === 0 ? 1 : 0));
  return part === 0 ? (other << 32n) | BigInt(bits) : (BigInt(bits) << 32n) | other;
}
