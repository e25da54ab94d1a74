/** The thread that runs a machine for the command line: guest code, devices, and sleep while there is nothing to do. */
import { randomFillSync } from 'node:crypto';
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { openRing } from '../../base/ring.ts';
import { createMachineTarget } from '../../vm/gdb/machine-target.ts';
import type { MachineOptions } from '../machine-host.ts';
import { type EventLoop, type RunEnd, runBlocking, runOnEventLoop } from '../machine-loop.ts';
import { type MachineThread, ownLoop, serveMachine, type ThreadOptions } from '../machine-thread.ts';
import { type Channel, kick } from '../worker-channel.ts';
import { readOpenFile } from './boot-file.ts';
import { exitStatus } from './exit-status.ts';
import { serveGdb } from './gdb-server.ts';
import { giveBack, preferHugePages, preferSmallPages } from './host-memory.ts';

type GdbRequest = NonNullable<MachineOptions['gdb']>;

export interface WorkerOptions extends ThreadOptions {
  readonly channel: Channel;
  readonly gdb: GdbRequest | undefined;
}

const options = workerData as WorkerOptions;
const control = new Int32Array(options.channel.control as SharedArrayBuffer);

const eventLoop: EventLoop = {
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  wait: async ({ word, value, ms }) => Atomics.waitAsync(control, word, value, ms).value,
};

/** The global is looked up anew at each use, and guests read clocks often. */
const hostClock = performance;

/** A thread's own clock is quicker, but only the process's has one origin for all threads. */
function processTime(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

function heapFigures(): Record<string, number> {
  const { used_heap_size: used, total_physical_size: resident } = getHeapStatistics();
  return { 'heap of the machine (KiB): used': used / 1024, 'heap of the machine (KiB): resident': resident / 1024 };
}

async function runDebugged(thread: MachineThread, { port, wait }: GdbRequest): Promise<RunEnd> {
  const { machine, restarts } = thread;
  const target = createMachineTarget(machine, { wait, restarts, exitStatus, wake: () => kick(control) });
  const server = await serveGdb(target, { port });
  try {
    thread.started();
    return await runOnEventLoop(thread.loopOver({ ...machine, ...target }), eventLoop);
  } finally {
    await server.close();
  }
}

await serveMachine(
  options,
  {
    control,
    input: openRing(options.channel.input),
    output: openRing(options.channel.output),
    post: (message) => parentPort?.postMessage(message),
    now: options.vcpu === undefined ? () => hostClock.now() : processTime,
    random: (bytes) => void randomFillSync(bytes),
    memoryMade: preferHugePages,
    memorySparse: preferSmallPages,
    memoryUnused: giveBack,
    readFile: readOpenFile,
    figures: heapFigures,
  },
  (thread) => {
    if (options.gdb !== undefined) return runDebugged(thread, options.gdb);
    thread.started();
    return runBlocking(ownLoop(thread), control);
  },
);
