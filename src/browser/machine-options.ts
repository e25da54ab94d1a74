/** What a page says of a machine, and what goes on to its worker. */
import type { MachineOptions } from '../sdk/machine-host.ts';
import type { ThreadOptions } from '../sdk/machine-thread.ts';
import type { Channel } from '../sdk/worker-channel.ts';

/** As in Node, without what needs a network socket. */
export type BrowserMachineOptions = Omit<MachineOptions, 'gdb'>;

/** The first message to the worker of a machine. */
export interface WorkerStart extends ThreadOptions {
  /** Absent where memory cannot be shared: then the owner sends messages. */
  readonly channel: Channel | undefined;
  /** The page's `performance.timeOrigin`, from which all workers of a machine count time. */
  readonly timeOrigin: number;
}
