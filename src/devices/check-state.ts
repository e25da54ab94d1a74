import { VirtsError } from '../base/errors.ts';

/**
 * Rejects a restored struct that no device could have saved. `checks` names a field and says whether it is sound.
 * Throws VirtsError 'bad-input' for the first that is not.
 */
export function checkState(device: string, checks: Readonly<Record<string, boolean>>): void {
  for (const [field, sound] of Object.entries(checks)) {
    if (sound) continue;
    const message = `The saved state of ${device} is damaged (${field}); restore another snapshot.`;
    throw new VirtsError('bad-input', message, { device, field });
  }
}

/** Whether every element is at most `max`. */
export function allAtMost(values: ArrayLike<number>, max: number): boolean {
  return Array.prototype.every.call(values, (value: number) => value <= max);
}

/** Whether every element is a whole number of nanoseconds or ticks that a machine could reach in either direction. */
export function allTimes(values: ArrayLike<number>): boolean {
  return Array.prototype.every.call(values, (value: number) => Number.isSafeInteger(value));
}
