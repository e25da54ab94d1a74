/** Machines in threads that can be saved, restored and stopped from outside, without what runs a whole machine on a host. */
import { Worker } from 'node:worker_threads';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import type { KernelRequest } from '../../src/machine/boot.ts';
import { createSharedMemory } from '../../src/memory/layout.ts';
import { MEMORY } from './several.ts';
import { type Told, type VcpuThread, WORD } from './vcpu-thread.test-helper.ts';

export interface ThreadedOptions {
  readonly cpus: number;
  readonly translation?: Translation | undefined;
  readonly boot?: KernelRequest;
  /** Bytes of guest RAM; `MEMORY` if absent. */
  readonly ram?: number;
  /** Seconds until it counts as hanging. */
  readonly patience?: number;
  readonly snapshot?: Uint8Array;
  readonly save?: VcpuThread['save'];
  readonly stops?: number;
}

/** Far more than a small guest takes. */
const PATIENCE = 300;
/** Bytes of output that there is room for. */
const OUTPUT = 1 << 20;

export type Outcome = Exclude<Told, { readonly kind: 'ready' }> & {
  /** What the guest has said since this machine was made. */
  readonly output: string;
};

/** Runs a machine until it tells of its end, or of having been saved or stopped. */
export async function runThreaded(options: ThreadedOptions): Promise<Outcome> {
  const { cpus, translation, boot, snapshot, save, ram = MEMORY, patience = PATIENCE, stops = 0 } = options;
  const output = new Uint8Array(new SharedArrayBuffer(OUTPUT));
  const memory = createSharedMemory();
  const words = new Int32Array(new SharedArrayBuffer(4 * (WORD.bells + cpus)));
  const workers: Worker[] = [];
  const end = Promise.withResolvers<Exclude<Told, { readonly kind: 'ready' }>>();
  const said = () => Buffer.from(output.slice(0, Atomics.load(words, WORD.said))).toString('latin1');
  const timer = setTimeout(
    () => end.reject(new Error(`the guest does not come to its end: ${said()}`)),
    patience * 1000,
  );
  function start(number: number): Promise<void> {
    const first = number === 0;
    const data: VcpuThread = {
      ...{ smp: true, number, cpus, memory, words, output, ram, translation, save },
      ...{ boot: first ? boot : undefined, snapshot: first ? snapshot : undefined, stops: first ? stops : 0 },
    };
    const worker = new Worker(new URL('./vcpu-thread.test-helper.ts', import.meta.url), { workerData: data });
    workers.push(worker);
    const ready = Promise.withResolvers<void>();
    worker.on('error', end.reject);
    worker.on('message', (told: Told) => (told.kind === 'ready' ? ready.resolve() : end.resolve(told)));
    return Promise.race([ready.promise, end.promise.then(() => {})]);
  }
  try {
    // The others find what the first has made.
    await start(0);
    for (let number = 1; number < cpus; number++) void start(number).catch(() => {});
    return { ...(await end.promise), output: said() };
  } finally {
    clearTimeout(timer);
    Atomics.store(words, WORD.end, 1);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Numbers from 0 up to `limit` that follow from a seed (Marsaglia 2003). */
export function numbers(seed: number): (limit: number) => number {
  let state = seed | 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
