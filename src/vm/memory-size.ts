/** Amounts of memory as people write them. */
import { VirtsError } from '../base/errors.ts';

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const MIN_MEMORY = 2 ** 20;
/** What fits below the 32-bit hole for devices and into one WebAssembly memory: 3.5 GiB. */
const MAX_MEMORY = 3.5 * 2 ** 30;

/** Guest RAM, in bytes, if nothing else is said. */
export const DEFAULT_MEMORY = 512 * 2 ** 20;

/** Reads an amount of guest RAM such as `512M`, in bytes. @throws VirtsError `usage`. */
export function parseMemory(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)([KMG])(?:i?B)?$/i.exec(text);
  if (match === null) throw new VirtsError('usage', 'It takes a size such as 512M or 1G.');
  const bytes = Number(match[1]) * UNITS[match[2]!.toUpperCase()]!;
  if (bytes < MIN_MEMORY || bytes > MAX_MEMORY) throw new VirtsError('usage', 'It must be from 1M to 3584M.');
  if (bytes % 4096 !== 0) throw new VirtsError('usage', 'It must be a multiple of 4K.');
  return bytes;
}

/** The shortest text that `parseMemory` reads as so many bytes. */
export function formatMemory(bytes: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, factor]) => bytes % factor === 0) ?? ['K', 1024];
  return `${bytes / size}${unit}`;
}
