/** How much memory the monitor takes beside what its guest touched. */
import { readFileSync } from 'node:fs';

/** Most KiB of memory that a process had so far; `undefined` where the host does not tell. */
export function peakMemory(pid: number | undefined): number | undefined {
  try {
    const found = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmHWM:\s+(\d+) kB$/m);
    return found === null ? undefined : Number(found[1]);
  } catch {
    return undefined;
  }
}

/** MiB of a peak that were not the guest's, which `virts run --stats` tells of in `log`. */
export function monitorOverhead(peak: number | undefined, log: string): number | undefined {
  const guest = log.match(/resident guest memory \(KiB\): (\d+)/);
  return peak === undefined || guest === null ? undefined : (peak - Number(guest[1])) / 1024;
}
