/**
 * Oscillators derived from the machine's clock. Tick n of an oscillator begins at the first whole nanosecond that is
 * not before n / hz seconds; seconds and their remainder are scaled apart, so that no product passes 2^53 and nothing
 * drifts. `hz` is a whole number up to 9,000,000.
 */

const NS_PER_SECOND = 1e9;

/** Ticks that have begun at `ns`. */
export function ticksAt(ns: number, hz: number): number {
  const seconds = Math.floor(ns / NS_PER_SECOND);
  const rest = Math.floor(ns) - seconds * NS_PER_SECOND;
  return seconds * hz + Math.floor((rest * hz) / NS_PER_SECOND);
}

/** The first nanosecond at which `ticksAt` is `ticks`. */
export function ticksToNs(ticks: number, hz: number): number {
  const seconds = Math.floor(ticks / hz);
  const rest = ticks - seconds * hz;
  return seconds * NS_PER_SECOND + Math.ceil((rest * NS_PER_SECOND) / hz);
}
