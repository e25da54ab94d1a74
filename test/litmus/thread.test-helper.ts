/**
 * A thread with a vCPU of each way to run code, over the guest RAM of all threads. Each has a physical map of its own, which
 * says the same of every page and never changes.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { ACTIVITY } from '../../src/machine/vcpu-reset.ts';
import { createArena } from '../../src/memory/arena.ts';
import { createFramePool } from '../../src/memory/frame-pool.ts';
import { PAGE_SIZE } from '../../src/memory/layout.ts';
import { createPhysicalMap, WRITABLE } from '../../src/memory/physical-map.ts';
import { createGuest, AT as GUEST } from '../translation/guest.ts';
import { ARENA_BYTES, ARENAS, AT, LOCK, RAM, RAM_HOST, RESULTS } from './memory.ts';

export interface ThreadOptions {
  readonly memory: WebAssembly.Memory;
  readonly number: number;
  /** Whether locked instructions and fences are made as for several threads. */
  readonly shared: boolean;
}

export interface Job {
  readonly text: string;
  readonly rounds: number;
  readonly translated: boolean;
}

export const WAYS = ['interpreted', 'translated'] as const;

/** An arena of its own for each vCPU of each thread, which makes everything in it. */
function arenaOf(buffer: ArrayBufferLike, number: number) {
  const start = ARENAS + number * ARENA_BYTES;
  return createArena(buffer, { start, end: start + ARENA_BYTES });
}

function createVcpuGuest({ memory, number, shared }: ThreadOptions, way: number) {
  const arena = arenaOf(memory.buffer, number * WAYS.length + way);
  const lock = new Int32Array(arena.buffer, LOCK, 1);
  function exclusively(work: () => void): void {
    while (Atomics.compareExchange(lock, 0, 0, 1) !== 0) Atomics.wait(lock, 0, 1, 1);
    work();
    Atomics.store(lock, 0, 0);
    Atomics.notify(lock, 0);
  }
  return createGuest({
    memory: {
      memory,
      arena,
      createMap(events) {
        const map = createPhysicalMap(arena, createFramePool(arena), RAM, events);
        const entries = new Uint32Array(arena.buffer, map.base, map.pages);
        for (let page = 0; page < map.pages; page++) entries[page] = RAM_HOST + page * PAGE_SIZE + WRITABLE;
        return map;
      },
    },
    recordBytes: 0x40_0000,
    translation: way === 0 ? undefined : { threshold: 20 },
    environment: shared ? { exclusively } : {},
  });
}

function serve(options: ThreadOptions): void {
  const guests = WAYS.map((_, way) => createVcpuGuest(options, way));
  const { number } = options;
  const code = GUEST.code + number * PAGE_SIZE;
  parentPort?.on('message', (message: Job | 'end') => {
    if (message === 'end') {
      parentPort?.close();
      return;
    }
    const { text, rounds, translated } = message;
    const guest = guests[translated ? 1 : 0];
    guest.load(code, text);
    guest.set({
      rbp: rounds,
      rsi: 0,
      rdi: AT.results + number * RESULTS,
      rsp: GUEST.stack - number * PAGE_SIZE,
      r15: 0,
    });
    guest.state.rip = BigInt(code);
    guest.state.activity = ACTIVITY.running;
    while (guest.state.activity === ACTIVITY.running) guest.vcpu.run(1_000_000);
    parentPort?.postMessage({ caught: guest.caught.length, regions: guest.vcpu.stats().regions ?? 0 });
  });
  parentPort?.postMessage('ready');
}

if (!isMainThread && workerData?.litmus === true) serve(workerData as ThreadOptions & { litmus: boolean });
