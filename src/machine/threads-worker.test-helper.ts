/** What a vCPU's thread does with the board that it shares; `threads-worker.test.ts` starts two of them. */
import { parentPort, workerData } from 'node:worker_threads';
import { createLock, locked } from '../base/lock.ts';
import { openRing } from '../base/ring.ts';
import { REGISTER } from '../devices/local-apic/registers.ts';
import { STANDARD_BOARD } from '../firmware/board-description.ts';
import { smallArena } from '../memory/arena.test-helper.ts';
import { flatMemory } from '../memory/guest-memory.ts';
import { createBoard } from './board.ts';
import { realClock } from './clock.ts';
import { createStructMemory } from './struct-memory.ts';
import { createTimers } from './timers.ts';
import { type VcpuBoard, vcpuBoard } from './vcpu-board.ts';

export const VCPUS = 2;

export interface SharedBoard {
  /** The structs, the lock's word, what wakes each vCPU, and what the guest sends to the serial port. */
  readonly structs: ArrayBufferLike;
  readonly word: Int32Array<SharedArrayBuffer>;
  readonly bells: Int32Array<SharedArrayBuffer>;
  readonly output: ArrayBufferLike;
}

export interface VcpuJob extends SharedBoard {
  readonly vcpu: number;
  readonly rounds: number;
}

/** What went wrong, as sentences. */
export type VcpuReport = readonly string[];

/** The same board in the thread of each vCPU; the main thread's is the first, -1. */
export function openBoard({ structs: buffer, word, bells, output }: SharedBoard, vcpu: number) {
  const structs = createStructMemory(smallArena(buffer, vcpu + 1));
  const clock = realClock(() => Number(process.hrtime.bigint() % 2n ** 50n), structs.place);
  const wake = (sleeper: number) => {
    Atomics.add(bells, sleeper, 1);
    Atomics.notify(bells, sleeper);
  };
  const timers = createTimers(clock, {
    place: structs.place,
    vcpus: VCPUS,
    armed: (_deadline, sleeper) => wake(sleeper),
  });
  const ring = openRing(output);
  const ignore = () => {};
  const board = createBoard({
    structs,
    timers,
    memory: flatMemory(1 << 20),
    wall: { epoch: 0 },
    description: { ...STANDARD_BOARD, vcpus: VCPUS },
    random: ignore,
    // The lock is held: there is but one writer at a time.
    serial: [{ backend: { write: (byte) => void ring.write(Uint8Array.of(byte)) } }],
    vcpus: Array.from({ length: VCPUS }, (_, sleeper) => ({
      interrupt: () => wake(sleeper),
      nmi: ignore,
      smi: ignore,
      init: ignore,
      startup: ignore,
    })),
    tscToNs: Number,
    log: ignore,
    powerOff: ignore,
    reset: ignore,
    debugExit: ignore,
  });
  return { board, clock, timers, lock: createLock(word, vcpu + 1) };
}

const APIC = 0xfee0_0000;
const TIMER_VECTOR = 0x50;
const IPI_VECTOR = 0x60;
const SERIAL = 0x3f8;
/** Far more than anything here takes. */
const PATIENCE = 240_000_000_000;

function serve({ vcpu, rounds, ...shared }: VcpuJob): VcpuReport {
  const { board, clock, timers, lock } = openBoard(shared, vcpu);
  const own: VcpuBoard = vcpuBoard(board, vcpu, lock);
  const { mmio, ports, interrupts } = own;
  const wrong: string[] = [];
  const write = (register: number, value: number) => mmio.write(APIC + register, 4, value);

  /** Interrupts taken and not waited for yet, by vector. */
  const taken = new Array<number>(256).fill(0);

  /** Waits for an interrupt, running the timers of the whole machine meanwhile. */
  function take(vector: number): void {
    const end = clock.now() + PATIENCE;
    while (taken[vector] === 0) {
      const rung = Atomics.load(shared.bells, vcpu);
      const now = clock.now();
      if (now > end) throw new Error(`vCPU ${vcpu} waits for interrupt ${vector} in vain`);
      if (timers.next(vcpu) <= now) locked(lock, timers.run);
      if (!interrupts.pending()) {
        Atomics.wait(shared.bells, vcpu, rung, Math.min(timers.next(vcpu) - now, PATIENCE) / 1e6);
        continue;
      }
      const found = interrupts.acknowledge();
      if (found >= 0) taken[found]++;
      else wrong.push('a pending interrupt went away');
      write(REGISTER.eoi, 0);
    }
    taken[vector]--;
  }

  write(REGISTER.lvt, TIMER_VECTOR);
  write(REGISTER.divide, 0xb);
  for (let round = 0; round < rounds; round++) {
    // The timer: whichever thread runs it, its interrupt comes to this vCPU, once.
    write(REGISTER.initialCount, 1 + ((round * 7919) % 20_000));
    take(TIMER_VECTOR);
    // Two accesses of one vCPU may have the other's between them, but each is whole.
    ports.write(SERIAL, 1, (vcpu << 7) | (round & 0x7f));
    // Ping and pong.
    if (vcpu === 1) take(IPI_VECTOR);
    write(REGISTER.icrHigh, (1 - vcpu) << 24);
    write(REGISTER.icrLow, 0x4000 | IPI_VECTOR);
    if (vcpu === 0) take(IPI_VECTOR);
  }
  for (const [vector, count] of taken.entries()) if (count > 0) wrong.push(`interrupt ${vector} came too often`);
  return wrong;
}

if (parentPort !== null) parentPort.postMessage(serve(workerData as VcpuJob));
