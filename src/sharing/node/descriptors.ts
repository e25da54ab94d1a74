/** How many files this process may have open. Node raises its limit to what the system lets it have. */
import { readFileSync } from 'node:fs';

/** Where the system does not tell. */
const USUAL = 1024;
/** More would only be memory. */
const MOST = 65_536;

export function descriptorLimit(): number {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return Math.min(MOST, Number(limit ?? MOST));
  } catch {
    return USUAL;
  }
}
