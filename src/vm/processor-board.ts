/** A vCPU's side of the board, guarded by the machine's lock where others use the board at the same time. */
import type { ApicHooks } from '../cpu/context.ts';
import type { VcpuEnvironment } from '../engine/translated/environment.ts';
import type { Board } from '../machine/board.ts';

/** What a vCPU needs of the board. */
export type ProcessorBoard = Pick<VcpuEnvironment, 'ports' | 'mmio' | 'apic' | 'interrupts'>;

/** Runs `work` under the machine's lock. */
export type Guard = <T>(work: () => T) => T;

interface Bus {
  read(address: number, size: 1 | 2 | 4): number;
  write(address: number, size: 1 | 2 | 4, value: number): void;
}

function guardedBus(bus: Bus, guarded: Guard): Bus {
  return {
    read: (address, size) => guarded(() => bus.read(address, size)),
    write: (address, size, value) => guarded(() => bus.write(address, size, value)),
  };
}

function guardedApic(apic: ApicHooks, guarded: Guard): ApicHooks {
  return {
    readMsr: (index) => guarded(() => apic.readMsr(index)),
    writeMsr: (index, value) => guarded(() => apic.writeMsr(index, value)),
    cr8: () => guarded(() => apic.cr8()),
    setCr8: (value) => guarded(() => apic.setCr8(value)),
    // One word that only this vCPU's own writes change.
    enabled: () => apic.enabled(),
    tscChanged: () => guarded(() => apic.tscChanged()),
  };
}

/** The side of vCPU `number`; `guarded` is absent where one thread does all. */
export function processorBoard(board: Board, number: number, guarded: Guard | undefined): ProcessorBoard {
  const interrupts = board.interrupts[number];
  const side = { ports: board.ports, mmio: board.vcpuMemory[number], apic: board.localApics[number], interrupts };
  if (guarded === undefined) return side;
  return {
    ports: guardedBus(side.ports, guarded),
    mmio: guardedBus(side.mmio, guarded),
    apic: guardedApic(side.apic, guarded),
    interrupts: {
      // Looked at all the time: what another thread is about to raise is followed by a signal.
      pending: () => interrupts.pending(),
      acknowledge: () => guarded(() => interrupts.acknowledge()),
    },
  };
}
