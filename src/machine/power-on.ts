/**
 * What a PC's firmware has set up by the time it starts a system: some systems, started without firmware, rely on it.
 * Everything goes through ports and configuration space, as firmware would do it.
 */
import type { LocalApic } from '../devices/local-apic/local-apic.ts';
import { LVT, REGISTER } from '../devices/local-apic/registers.ts';
import { assignResources } from '../devices/pci/assign-resources.ts';
import type { PciBus } from '../devices/pci/bus.ts';
import { PIRQ_ROUTE } from '../devices/pci/isa-bridge.ts';
import { type BoardDescription, type PciBoard, pciInterrupt } from '../firmware/board-description.ts';
import type { BusAccess } from './bus.ts';
import { pirqTarget } from './pci-wiring.ts';

/** Where the functions of the chipset sit. */
export const SLOT = { hostBridge: 0, isaBridge: 1, firstDevice: 2 } as const;

/** Ports for I/O BARs: clear of the board's own, most of which lie below 0x1000. */
const IO_WINDOW = { base: 0xc000, size: 0x3000 } as const;

const PIC = { master: 0x20, slave: 0xa0, levels: 0x4d0 } as const;
/** Vectors of requests 0 and 8 under a BIOS. */
const PIC_VECTORS = { master: 0x08, slave: 0x70 } as const;
const PIT = { counter0: 0x40, control: 0x43 } as const;

/** The host bridge's seven registers that say whether RAM or ROM answers from 768 KiB to 1 MiB. */
const PAM = { first: 0x59, count: 7, firstRam: 0x30, ram: 0x33 } as const;

const SVR_ENABLED = 0x1ff;
const LVT_EXTINT = 0x700;
const LVT_NMI = 0x400;

export interface PowerOnParts {
  readonly description: BoardDescription;
  readonly ports: BusAccess;
  readonly pciBus: PciBus | undefined;
  readonly bootstrapApic: LocalApic;
}

/** Call it after every reset of the board. Throws VirtsError 'no-space' if the PCI devices do not fit their windows. */
export function leaveAsFirmware({ description, ports, pciBus, bootstrapApic }: PowerOnParts): void {
  programPics(description, ports);
  programTimer(ports);
  wireThrough(bootstrapApic);
  if (description.pci !== undefined && pciBus !== undefined) programPci(description.pci, pciBus);
}

/** Initialised and masked, PCI and power management level-triggered. */
function programPics(description: BoardDescription, ports: BusAccess): void {
  const write = (port: number, ...values: readonly number[]) => {
    for (const value of values) ports.write(port, 1, value);
  };
  write(PIC.master, 0x11);
  write(PIC.master + 1, PIC_VECTORS.master, 4, 1, 0xff);
  write(PIC.slave, 0x11);
  write(PIC.slave + 1, PIC_VECTORS.slave, 2, 1, 0xff);
  const level = [description.powerManagement.sci.irq, ...(description.pci?.irqs ?? [])];
  const levels = level.reduce((bits, irq) => bits | (1 << irq), 0);
  write(PIC.levels, levels & 0xff);
  write(PIC.levels + 1, levels >> 8);
}

/** Channel 0 ticks 18.2 times a second. */
function programTimer(ports: BusAccess): void {
  ports.write(PIT.control, 1, 0x34);
  ports.write(PIT.counter0, 1, 0);
  ports.write(PIT.counter0, 1, 0);
}

/** Virtual wire mode (MP specification 3.6.2.2): the PICs' interrupts go through the local APIC. */
function wireThrough({ regions: { registers } }: LocalApic): void {
  registers.write(REGISTER.svr, 4, SVR_ENABLED);
  registers.write(REGISTER.lvt + 0x10 * LVT.lint0, 4, LVT_EXTINT);
  registers.write(REGISTER.lvt + 0x10 * LVT.lint1, 4, LVT_NMI);
}

function programPci(pci: PciBoard, bus: PciBus): void {
  for (let i = 0; i < PAM.count; i++) {
    bus.writeConfig(SLOT.hostBridge, 0, PAM.first + i, 1, i === 0 ? PAM.firstRam : PAM.ram);
  }
  for (let pirq = 0; pirq < 4; pirq++) {
    bus.writeConfig(SLOT.isaBridge, 0, PIRQ_ROUTE + pirq, 1, pirqTarget(pci, pirq).irq);
  }
  assignResources(bus, {
    mmio: { base: pci.memory.base, size: pci.memory.end - pci.memory.base },
    io: IO_WINDOW,
    irq: (pin, slot) => pciInterrupt(pci, slot, pin - 1).irq,
  });
}
