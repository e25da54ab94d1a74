/** One vCPU of a machine in threads, and what the first thread of it does to the machine from outside of the guest. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { Translation } from '../../src/engine/translated/vcpu-interface.ts';
import type { KernelRequest } from '../../src/machine/boot.ts';
import { readGuest } from '../../src/memory/guest-memory.ts';
import { createMachine, type Machine, type MachineEnd } from '../../src/vm/machine.ts';
import { AT } from './several.ts';

export interface VcpuThread {
  readonly smp: true;
  readonly number: number;
  readonly cpus: number;
  readonly memory: WebAssembly.Memory;
  /** `WORD`, then one for each vCPU, raised when its thread is to look for what there is to do. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** What the guest sends through its first serial port; `WORD.said` bytes are there. */
  readonly output: Uint8Array<SharedArrayBuffer>;
  /** Bytes of guest RAM. */
  readonly ram: number;
  readonly translation: Translation | undefined;
  /** What the first thread begins with. */
  readonly boot: KernelRequest | undefined;
  readonly snapshot: Uint8Array | undefined;
  /** Which thread saves the machine once so many instructions have run; then all end. */
  readonly save: { readonly thread: number; readonly at: number } | undefined;
  /** How often the first thread has the machine stand still, once all vCPUs are at the first barrier. */
  readonly stops: number;
}

export const WORD = {
  /** Threads that are there. */
  ready: 0,
  /** All are to end. */
  end: 1,
  said: 2,
  bells: 3,
} as const;

export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'ended'; readonly end: MachineEnd }
  | { readonly kind: 'saved'; readonly snapshot: Uint8Array; readonly retired: number }
  /** Of each request: milliseconds until all stood still, and the most rounds that another vCPU has counted meanwhile. */
  | { readonly kind: 'stopped'; readonly ms: readonly number[]; readonly rounds: readonly number[] };

const SLICE_NS = 1_000_000;

/** Nanoseconds, the same in all threads. */
const now = () => Number(process.hrtime.bigint() % 2n ** 50n);

function make({ number, cpus, memory, words, output, ram, translation }: VcpuThread): Machine {
  return createMachine({
    memory: ram,
    cpus,
    thread: {
      number,
      memory,
      wake(vcpu) {
        Atomics.add(words, WORD.bells + vcpu, 1);
        Atomics.notify(words, WORD.bells + vcpu);
      },
    },
    ...(translation && { translation }),
    clock: 'real',
    hostNow: now,
    epoch: 0,
    random: (bytes) => void bytes.fill(5),
    // Under the machine's lock: bytes keep their order.
    serial: {
      write(byte) {
        output[Atomics.add(words, WORD.said, 1)] = byte;
      },
    },
  });
}

/** vCPUs that have come to the first barrier of a guest. */
const arrived = ({ memory }: Machine): number => readGuest(memory, AT.barrier, 1)?.[0] ?? 0;

/** What the vCPUs but the first have counted, each in a word of its own. */
function counts({ memory }: Machine, cpus: number): number[] {
  const bytes = readGuest(memory, AT.words, 64 * cpus) ?? new Uint8Array(64 * cpus);
  const words = new Uint32Array(bytes.buffer);
  return Array.from({ length: cpus - 1 }, (_, other) => words[16 * (other + 1)]);
}

/** Runs until the machine ends, or is saved, or somebody says that it is enough. */
export function runVcpu(thread: VcpuThread, tell: (told: Told) => void): void {
  const { number, words, boot, snapshot, save } = thread;
  const machine = make(thread);
  if (boot !== undefined) machine.boot(boot);
  if (snapshot !== undefined) machine.restore(snapshot);
  Atomics.add(words, WORD.ready, 1);
  Atomics.notify(words, WORD.ready);
  tell({ kind: 'ready' });
  // All vCPUs of a guest that is resumed are at work: they must not find one gone until the host has started its thread.
  for (let there = 0; snapshot !== undefined && there < thread.cpus && Atomics.load(words, WORD.end) === 0; ) {
    there = Atomics.load(words, WORD.ready);
    if (there < thread.cpus) Atomics.wait(words, WORD.ready, there, 1000);
  }
  const ms: number[] = [];
  const rounds: number[] = [];
  while (Atomics.load(words, WORD.end) === 0) {
    const bell = Atomics.load(words, WORD.bells + number);
    const progress = machine.advance(SLICE_NS);
    if (progress.kind === 'ended') {
      tell({ kind: 'ended', end: progress.end });
      return;
    }
    if (save !== undefined && save.thread === number && machine.retired() >= save.at) {
      const saved = machine.save();
      // Nothing of what runs from here on is to be seen again.
      Atomics.store(words, WORD.end, 1);
      tell({ kind: 'saved', snapshot: saved, retired: machine.retired() });
      return;
    }
    if (ms.length < thread.stops && arrived(machine) === thread.cpus) {
      // The others are in the midst of a slice, whatever this thread's own end of one has to do with it.
      Atomics.wait(words, WORD.end, 0, 3);
      const before = counts(machine, thread.cpus);
      const asked = performance.now();
      machine.pause();
      ms.push(performance.now() - asked);
      rounds.push(Math.max(...counts(machine, thread.cpus).map((count, other) => count - before[other])));
      machine.continue();
      if (ms.length === thread.stops) tell({ kind: 'stopped', ms, rounds });
    }
    if (progress.kind === 'idle') {
      const wait = Math.min((progress.until - machine.now()) / 1e6, 20);
      if (wait > 0) Atomics.wait(words, WORD.bells + number, bell, wait);
    }
  }
}

if (!isMainThread && workerData?.smp === true) {
  runVcpu(workerData as VcpuThread, (told) => parentPort?.postMessage(told));
}
