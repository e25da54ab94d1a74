/** Starts a machine in threads of Node's (`sdk/machine-host.ts` says what can be asked of it). */
import { availableParallelism } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import type { StartMachine } from '../machine-host.ts';
import { startInThreads, type Thread } from '../running-machine.ts';
import { createChannel, kick, openOwnerEnd } from '../worker-channel.ts';
import { giveBack } from './host-memory.ts';
import type { WorkerOptions } from './machine-worker.ts';
import { threadFile } from './thread-file.ts';

/**
 * Room for the engine's objects, in MiB. Most die at once: what the young ones may take is resident for good, and with much
 * room for them memory is written that no cache of the host holds any more. The other figure is what full caches of code
 * need, several times over; V8 lets the heap grow by smaller steps the less it may become.
 */
const HEAP_LIMITS = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 512 };

/** The same for what compiles regions: 11 MiB stay, and what it makes dies with each region. */
const TRANSLATOR_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 96 };

function startThread<Message>(file: string, workerData: unknown, resourceLimits: ResourceLimits): Thread<Message> {
  const worker = new Worker(threadFile(file), { workerData, resourceLimits });
  return {
    listen({ message, failed, gone = () => {} }) {
      worker.on('message', message);
      worker.once('error', failed);
      worker.once('exit', gone);
    },
    end: () => worker.terminate(),
  };
}

export const startMachine: StartMachine = (options) => {
  const channel = createChannel();
  const control = new Int32Array(channel.control);
  for (const wired of [options.network, options.vsock]) wired?.wakes(() => kick(control));
  return startInThreads(options, {
    parallel: availableParallelism() > 1,
    end: openOwnerEnd(channel),
    // A machine keeps the process alive, a timer does not.
    after: (ms) => setTimeout(ms, undefined, { ref: false }),
    release: (buffer) => giveBack({ buffer }, 0, buffer.byteLength),
    start: (threadOptions) =>
      startThread(
        'machine-worker',
        { ...threadOptions, channel, gdb: options.gdb } satisfies WorkerOptions,
        HEAP_LIMITS,
      ),
    startTranslator: (links) => startThread('translator-worker', links, TRANSLATOR_LIMITS),
  });
};
