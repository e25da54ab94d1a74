/** What a running machine of this process has used. */
import type { MachineFigures } from '../machine-figures.ts';
import type { RunningMachine } from '../machine-host.ts';
import type { DiskTraffic } from './disks.ts';
import type { NetworkTraffic } from './network.ts';

/** How long figures of a machine that does not answer are waited for, in milliseconds. */
const FIGURES_MS = 2000;

export interface FigureSources {
  readonly running: RunningMachine;
  readonly disks: Readonly<DiskTraffic> | undefined;
  readonly network: Readonly<NetworkTraffic> | undefined;
  /** Bytes of guest RAM. */
  readonly memory: number;
  readonly cpus: number;
}

/** What this process took of the processor so far. */
export function processorTime(): Pick<MachineFigures, 'cpu' | 'at'> {
  const { user, system } = process.cpuUsage();
  return { cpu: user + system, at: performance.now() };
}

/** Returns what asks for figures. */
export function figuresOf({ running, disks, network, memory, cpus }: FigureSources): () => Promise<MachineFigures> {
  let refreshing: Promise<void> | undefined;
  async function refresh(): Promise<void> {
    const timeout = new Promise<void>((resolve) => setTimeout(resolve, FIGURES_MS).unref());
    await Promise.race([running.refreshStatistics?.(), timeout]);
    refreshing = undefined;
  }
  return async () => {
    // An idle machine takes less in a second than the answer does.
    const processor = processorTime();
    // Threads answer one question at a time.
    refreshing ??= refresh();
    await refreshing;
    const figures = running.statistics?.() ?? {};
    const guest = Number(figures['resident guest memory (KiB)'] ?? 0) * 1024;
    const balloon = Number(figures['guest memory in the balloon (KiB)'] ?? 0) * 1024;
    return {
      ...processor,
      vcpus: cpus,
      memory: { size: memory, guest, process: process.memoryUsage.rss(), balloon },
      disk: { ...(disks ?? { read: 0, written: 0 }) },
      network: { ...(network ?? { received: 0, sent: 0 }) },
      instructions: Number(figures['instructions retired'] ?? 0),
    };
  };
}
