/** The main counter and the matches of the comparators against it. IA-PC HPET specification 1.0a, 2.3.7–2.3.9. */
import type { StructView } from '../../base/struct.ts';
import { struct } from '../../base/struct.ts';

export const HPET_COMPARATORS = 3;

/** Nanoseconds per tick: 100 MHz, a tenth of the longest period allowed. */
export const HPET_TICK = 10;

/** Timer n configuration, low half. */
export const TIMER = {
  level: 0x0002,
  enable: 0x0004,
  periodic: 0x0008,
  periodicCapable: 0x0010,
  wide: 0x0020,
  setValue: 0x0040,
  narrow: 0x0100,
  route: 0x3e00,
} as const;

export const hpetSchema = struct('hpet', 1, {
  /** General configuration: bit 0 enable, bit 1 legacy replacement. */
  configuration: 'u32',
  /** Interrupt status, one bit for each level-triggered comparator. */
  status: 'u32',
  /** Edge-triggered comparators whose legacy line is high. */
  held: 'u32',
  /** TIMER bits that software wrote. */
  timer: ['u32', HPET_COMPARATORS],
  /** The next match, at the comparator's width. */
  comparator: ['u64', HPET_COMPARATORS],
  period: ['u64', HPET_COMPARATORS],
  /** Counter value up to which (inclusive) matches have been noticed. */
  seen: ['u64', HPET_COMPARATORS],
  /** The counter while halted, or at `startedAt`. */
  counter: 'u64',
  /** Machine time (whole ns) at which the counter was `counter`, while it runs. */
  startedAt: 'f64',
  /** Machine time (ns) before which a periodic comparator raises no further interrupt. */
  notBefore: ['f64', HPET_COMPARATORS],
  /** Comparator + 1 whose low half was just written with "set value", if that was the latest access. */
  lowHalfSet: 'u8',
});

export type HpetState = StructView<typeof hpetSchema.fields>;

const WIDE = (1n << 64n) - 1n;
const NARROW = (1n << 32n) - 1n;

export function running(state: HpetState): boolean {
  return (state.configuration & 1) !== 0;
}

/** The largest value of a comparator: all ones at its width. */
export function widthMask(state: HpetState, index: number): bigint {
  return (state.timer[index] & TIMER.narrow) === 0 ? WIDE : NARROW;
}

/** The main counter at machine time `now` (ns). */
export function counterAt(state: HpetState, now: number): bigint {
  if (!running(state)) return state.counter;
  return (state.counter + BigInt(Math.floor(Math.max(0, now - state.startedAt) / HPET_TICK))) & WIDE;
}

/**
 * Ticks from the last value looked at to the next match. The value itself is past: a comparator equal to it matches
 * after a full turn.
 */
function ticksToMatch(state: HpetState, index: number): bigint {
  const mask = widthMask(state, index);
  return ((state.comparator[index] - state.seen[index] - 1n) & mask) + 1n;
}

/** Machine time (ns) of the next match while the counter runs; it may have passed. */
export function matchTime(state: HpetState, index: number): number {
  const fromStart = BigInt.asIntN(64, state.seen[index] - state.counter) + ticksToMatch(state, index);
  return state.startedAt + Number(fromStart) * HPET_TICK;
}

/**
 * Moves a comparator past all matches up to the counter value `now` and tells whether there was one. Missed periods are
 * one match: the accumulator jumps over them.
 */
export function passMatches(state: HpetState, index: number, now: bigint): boolean {
  const elapsed = (now - state.seen[index]) & WIDE;
  const distance = ticksToMatch(state, index);
  if (distance > elapsed) {
    state.seen[index] = now;
    return false;
  }
  const period = state.period[index];
  if ((state.timer[index] & TIMER.periodic) !== 0 && period !== 0n) {
    const periods = (elapsed - distance) / period + 1n;
    state.comparator[index] = (state.comparator[index] + periods * period) & widthMask(state, index);
  }
  state.seen[index] = now;
  return true;
}
