/** Figures from repeated measurements. */

/** The middle value, or the mean of the two middle ones. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return sorted.length === 0 ? Number.NaN : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The n-th root of the product of n positive values. NaN of nothing. */
export function geometricMean(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** The value that a part (0 to 1) of the values are below, between two of them where it falls there. NaN of nothing. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const position = part * (sorted.length - 1);
  const below = sorted[Math.floor(position)]!;
  return below + (sorted[Math.ceil(position)]! - below) * (position % 1);
}

/** Half the distance between the quartiles, as a part of the median: how far single measurements are from one another. */
export function spread(values: readonly number[]): number {
  return values.length < 2 ? 0 : (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / median(values);
}

/** How fast something became as fast as it stays. */
export interface WarmUp {
  /** Time (s) of a slice once nothing gets faster any more: the median of the later half. */
  readonly steady: number;
  /** Time (s) before the first slice that runs at 90 % of the steady speed or more; 0 if the very first one does. */
  readonly seconds: number;
  /** Time (s) that all slices took beyond what they would have taken at the steady speed. */
  readonly lost: number;
}

/** Reads the warm-up from the times of equal slices of work; `undefined` of fewer than four. */
export function warmUp(slices: readonly number[]): WarmUp | undefined {
  if (slices.length < 4) return undefined;
  const steady = median(slices.slice(slices.length >> 1));
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const first = slices.findIndex((slice) => slice * 0.9 <= steady);
  return { steady, seconds: sum(slices.slice(0, first)), lost: Math.max(0, sum(slices) - steady * slices.length) };
}
