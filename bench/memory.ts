/** How much memory and processor time the monitor takes (proc(5)). */
import { readdirSync, readFileSync } from 'node:fs';

function statusKiB(pid: number | undefined, name: 'VmHWM' | 'VmRSS'): number | undefined {
  try {
    const found = readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm'));
    return found === null ? undefined : Number(found[1]);
  } catch {
    return undefined;
  }
}

/** Most KiB of memory that a process had so far; `undefined` where the host does not tell. */
export const peakMemory = (pid: number | undefined): number | undefined => statusKiB(pid, 'VmHWM');

/** KiB of memory that a process has now; `undefined` where the host does not tell. */
export const residentMemory = (pid: number | undefined): number | undefined => statusKiB(pid, 'VmRSS');

/** Ticks a second of the times in `/proc`, the same on all architectures of interest. */
const USER_HZ = 100;

/** Processor time that a thread had so far, in seconds, from its `stat`. */
export function threadSeconds(stat: string): number {
  // The name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
}

/** Processor time of a process's threads in seconds: of the one that had most, and of all; `undefined` as above. */
export function processorTime(pid: number | undefined): { readonly busiest: number; readonly all: number } | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const times = threads.map((thread) => threadSeconds(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
    return { busiest: Math.max(...times), all: times.reduce((sum, time) => sum + time, 0) };
  } catch {
    return undefined;
  }
}

/** MiB of a peak that were not the guest's, which `virts run --stats` tells of in `log`. */
export function monitorOverhead(peak: number | undefined, log: string): number | undefined {
  const guest = log.match(/resident guest memory \(KiB\): (\d+)/);
  return peak === undefined || guest === null ? undefined : (peak - Number(guest[1])) / 1024;
}
