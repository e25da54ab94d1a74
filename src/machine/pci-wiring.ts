/** How the board wires PCI interrupts, from its description. */
import { VirtsError } from '../base/errors.ts';
import type { Line } from '../devices/device.ts';
import { pirqOf } from '../devices/pci/bus.ts';
import type { InterruptPin } from '../devices/pci/config-space.ts';
import { type PciBoard, pciInterrupt } from '../firmware/board-description.ts';

const PINS: readonly InterruptPin[] = [1, 2, 3, 4];
/** I/O APIC inputs below are the ISA requests'. */
const FIRST_PCI_GSI = 16;

/** Where PIRQ `index` (0–3) arrives: the I/O APIC input and, as firmware programs the router, the ISA request. */
export function pirqTarget(pci: PciBoard, index: number): { readonly gsi: number; readonly irq: number } {
  const pin = PINS.find((candidate) => pirqOf(0, candidate) === index) ?? 1;
  return pciInterrupt(pci, 0, pin - 1);
}

/**
 * The four PIRQ wires: each to the ISA bridge's router and to its own I/O APIC input. Throws VirtsError 'internal' if an
 * input is an ISA request's or missing.
 */
export function pirqWires(pci: PciBoard, router: readonly Line[], ioApicInputs: readonly Line[]): Line[] {
  return [0, 1, 2, 3].map((index) => {
    const { gsi } = pirqTarget(pci, index);
    const input = ioApicInputs[gsi];
    if (gsi < FIRST_PCI_GSI || input === undefined) {
      throw new VirtsError('internal', `A PCI interrupt cannot arrive at I/O APIC input ${gsi}.`, { gsi });
    }
    return {
      set(level) {
        router[index].set(level);
        input.set(level);
      },
    };
  });
}
