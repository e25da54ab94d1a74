/** Starts a machine in workers of a page (`sdk/machine-host.ts` says what can be asked of it). */
import { VirtsError } from '../base/errors.ts';
import { SHARES_MEMORY } from '../base/shared-memory.ts';
import type { RunningMachine } from '../sdk/machine-host.ts';
import type { ThreadMessage, ThreadOptions } from '../sdk/machine-thread.ts';
import { startInThreads, type Thread, type ThreadStarter, type TranslatorMessage } from '../sdk/running-machine.ts';
import { createChannel, createMessagingEnd, openOwnerEnd } from '../sdk/worker-channel.ts';
import { missingFeatures } from './features.ts';
import type { BrowserMachineOptions, WorkerStart } from './machine-options.ts';

/**
 * A worker as a thread, which begins with the message `start`. What is thrown in it while it loads, a script that is not
 * there for example, is a failure without much of a reason.
 */
function thread<Message>(worker: Worker, start: unknown): Thread<Message> {
  worker.postMessage(start);
  return {
    listen({ message, failed }) {
      worker.addEventListener('message', (event: MessageEvent<Message>) => message(event.data));
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        failed(new Error(event.message || 'The script of a worker could not be loaded.'));
      });
      worker.addEventListener('messageerror', () => failed(new Error('A message of a worker could not be read.')));
    },
    async end() {
      worker.terminate();
    },
  };
}

// The calls are written out so that bundlers find the workers.
const machineWorker = () => new Worker(new URL('./machine-worker.ts', import.meta.url), { type: 'module' });
const translatorWorker = () => new Worker(new URL('./translator-worker.ts', import.meta.url), { type: 'module' });

/** The owner's end of a channel, and what starts the machine's threads at its other end. */
function connect(): Pick<ThreadStarter, 'end' | 'start'> {
  const { timeOrigin } = performance;
  if (SHARES_MEMORY) {
    const channel = createChannel();
    const start = (options: ThreadOptions) =>
      thread<ThreadMessage>(machineWorker(), { ...options, channel, timeOrigin } satisfies WorkerStart);
    return { end: openOwnerEnd(channel), start };
  }
  const worker = machineWorker();
  return {
    end: createMessagingEnd((message) => worker.postMessage(message)),
    start: (options) => thread(worker, { ...options, channel: undefined, timeOrigin } satisfies WorkerStart),
  };
}

/**
 * Starts a machine. Resolves when guest code runs.
 * @throws VirtsError `unsupported` where the browser lacks something, `bad-input`, `no-space`, `usage`.
 */
export async function startMachine(options: BrowserMachineOptions): Promise<RunningMachine> {
  const missing = missingFeatures();
  if (missing !== undefined) throw new VirtsError('unsupported', missing);
  return startInThreads(options, {
    ...connect(),
    parallel: SHARES_MEMORY && navigator.hardwareConcurrency > 1,
    after: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    startTranslator: (links) => thread<TranslatorMessage>(translatorWorker(), links),
  });
}
