/**
 * What the firmware tables must know of the board, as plain data. The board wires its devices from the same object, so
 * that tables and hardware agree.
 */
import { BASIC_FEATURES, SIGNATURE } from '../cpu/cpuid.ts';

export interface PortRange {
  /** I/O port. */
  readonly port: number;
  /** Ports. */
  readonly size: number;
}

export interface PciBoard {
  /** Highest bus number behind the host bridge. */
  readonly lastBus: number;
  /** The window for 32-bit memory BARs: from `base` up to and without `end`. */
  readonly memory: { readonly base: number; readonly end: number };
  /** Where INTA#–INTD# of device 0 arrive at the I/O APIC; device n is rotated by n. See `pciInterrupt`. */
  readonly gsis: readonly [number, number, number, number];
  /** Where the same four arrive at the PICs, for systems that do not use the I/O APIC. */
  readonly irqs: readonly [number, number, number, number];
}

export interface BoardDescription {
  /** vCPUs, 1 to 255; vCPU n has local APIC ID n. */
  readonly vcpus: number;
  /** CPUID leaf 1 EAX and EDX, for the MP and SMBIOS tables. */
  readonly cpuSignature: number;
  readonly cpuFeatures: number;
  /** System UUID in its usual text form, if the machine has one. */
  readonly uuid?: string;
  readonly localApic: number;
  readonly ioApic: { readonly id: number; readonly base: number; readonly inputs: number };
  /** The I/O APIC input of the PIT's channel 0 (ISA IRQ 0). */
  readonly timerGsi: number;
  readonly powerManagement: {
    /** PM1a event block: status and enable, 4 bytes. */
    readonly event: number;
    /** PM1a control, 2 bytes. */
    readonly control: number;
    /** PM timer, 4 bytes, counting at 3.579545 MHz. */
    readonly timer: number;
    /** The timer has 32 bits, not 24. */
    readonly timer32: boolean;
    /** General-purpose event block 0: status then enable registers; `size` is even. */
    readonly gpe0: PortRange;
    /** SMI command port and the values that switch ACPI mode on and off. */
    readonly smiCommand: number;
    readonly acpiEnable: number;
    readonly acpiDisable: number;
    /** System control interrupt: level-triggered. */
    readonly sci: { readonly irq: number; readonly polarity: 'high' | 'low' };
    /** SLP_TYPa for S5, soft off. */
    readonly sleepTypeS5: number;
  };
  /** Write `value` to `port` to reset the machine. */
  readonly reset: { readonly port: number; readonly value: number };
  /** Two ports at `port`; `century` is the index of the century in CMOS RAM, 0 for none. */
  readonly rtc: { readonly port: number; readonly irq: number; readonly century: number };
  /** 16550s in the order COM1, COM2... */
  readonly serial: readonly { readonly port: number; readonly irq: number }[];
  /** Keyboard controller at 0x60 and 0x64, if there is one. */
  readonly ps2?: { readonly keyboardIrq: number; readonly mouseIrq: number };
  readonly hpet?: { readonly base: number };
  readonly vga: boolean;
  readonly pci?: PciBoard;
  /** Ports of the board itself that no driver may claim. */
  readonly reservedPorts: readonly PortRange[];
}

/**
 * The interrupt input that a PCI function's pin drives: device numbers rotate the four lines, as on every PC board.
 * `pin` is 0 for INTA#. Behind `irqs` the same line reaches the PICs; that value belongs into the Interrupt Line register.
 */
export function pciInterrupt(
  pci: PciBoard,
  device: number,
  pin: number,
): { readonly gsi: number; readonly irq: number } {
  const line = (device + pin) & 3;
  return { gsi: pci.gsis[line], irq: pci.irqs[line] };
}

/** The usual board, with one vCPU. */
export const STANDARD_BOARD: BoardDescription = {
  vcpus: 1,
  cpuSignature: SIGNATURE,
  cpuFeatures: BASIC_FEATURES,
  localApic: 0xfee00000,
  ioApic: { id: 0, base: 0xfec00000, inputs: 24 },
  timerGsi: 2,
  powerManagement: {
    event: 0x600,
    control: 0x604,
    timer: 0x608,
    timer32: true,
    gpe0: { port: 0x620, size: 4 },
    smiCommand: 0xb2,
    acpiEnable: 0xf1,
    acpiDisable: 0xf0,
    sci: { irq: 9, polarity: 'high' },
    sleepTypeS5: 5,
  },
  reset: { port: 0xcf9, value: 6 },
  rtc: { port: 0x70, irq: 8, century: 0x32 },
  serial: [
    { port: 0x3f8, irq: 4 },
    { port: 0x2f8, irq: 3 },
  ],
  ps2: { keyboardIrq: 1, mouseIrq: 12 },
  hpet: { base: 0xfed00000 },
  vga: false,
  pci: {
    lastBus: 0,
    memory: { base: 0xe0000000, end: 0xfec00000 },
    gsis: [16, 17, 18, 19],
    irqs: [10, 11, 10, 11],
  },
  reservedPorts: [
    { port: 0x61, size: 1 },
    { port: 0x80, size: 1 },
    { port: 0x92, size: 1 },
    { port: 0xb2, size: 2 },
    { port: 0x4d0, size: 2 },
    { port: 0x600, size: 0x40 },
  ],
};
