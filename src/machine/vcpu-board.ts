/** A board as the thread of one vCPU uses it: each access under the machine's lock, unless it needs none. */
import { type Lock, locked } from '../base/lock.ts';
import type { ApicHooks } from '../cpu/context.ts';
import type { Board } from './board.ts';
import type { BusAccess } from './bus.ts';
import type { VcpuInterrupts } from './interrupts.ts';

export interface VcpuBoard {
  readonly ports: BusAccess;
  /** Guest-physical addresses that no RAM is behind. */
  readonly mmio: BusAccess;
  readonly interrupts: VcpuInterrupts;
  readonly apic: ApicHooks;
}

function lockedBus({ read, write }: BusAccess, lock: Lock): BusAccess {
  return {
    read(address, size) {
      lock.acquire();
      try {
        return read(address, size);
      } finally {
        lock.release();
      }
    },
    write(address, size, value) {
      lock.acquire();
      try {
        write(address, size, value);
      } finally {
        lock.release();
      }
    },
  };
}

/** The board as vCPU `vcpu` uses it. `lock` is absent where one thread serves the whole machine. */
export function vcpuBoard(board: Board, vcpu: number, lock?: Lock): VcpuBoard {
  const interrupts = board.interrupts[vcpu];
  const apic = board.localApics[vcpu];
  const mmio = board.vcpuMemory[vcpu];
  if (lock === undefined) return { ports: board.ports, mmio, interrupts, apic };
  return {
    ports: lockedBus(board.ports, lock),
    mmio: lockedBus(mmio, lock),
    interrupts: {
      pending: interrupts.pending,
      acknowledge: () => locked(lock, interrupts.acknowledge),
      nmi: () => locked(lock, interrupts.nmi),
    },
    apic: {
      readMsr: (index) => locked(lock, () => apic.readMsr(index)),
      writeMsr: (index, value) => locked(lock, () => apic.writeMsr(index, value)),
      // Both follow from one word that only this vCPU writes.
      cr8: apic.cr8,
      enabled: apic.enabled,
      setCr8: (value) => locked(lock, () => apic.setCr8(value)),
      tscChanged: () => locked(lock, apic.tscChanged),
    },
  };
}
