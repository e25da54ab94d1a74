/**
 * The ISA bridge of the Intel PIIX3 (82371SB data sheet, 290550): routes the PIRQ wires to ISA interrupts and holds the
 * reset control register at port 0xCF9. The interrupt controllers' edge/level registers belong to the interrupt controllers.
 */
import { struct } from '../../base/struct.ts';
import type { Line, Place, Region } from '../device.ts';
import { CONFIG, PCI_FIELDS } from './config-space.ts';
import { createPciFunction, type PciDevice } from './function.ts';
import type { PciRegister } from './layout.ts';

const FIELDS = {
  ...PCI_FIELDS,
  /** Levels of PIRQA# to PIRQD#, bit 0 to bit 3. */
  pirqs: 'u8',
  resetControl: 'u8',
} as const;
const SCHEMA = struct('piix3-isa', 1, FIELDS);

/** First of the four PIRQ route control registers. */
export const PIRQ_ROUTE = 0x60;
const ROUTE_DISABLED = 0x80;
/** ISA interrupts that a PIRQ can be routed to: 3–7, 9–12, 14, 15. */
const ROUTABLE = 0xdef8;

const RESET_CONTROL = { system: 0x02, cpu: 0x04 } as const;

const REGISTERS: readonly PciRegister[] = [
  // I/O, memory and bus mastering are hardwired on.
  { offset: CONFIG.command, size: 2, reset: 0x0007, writable: 0x0108 },
  { offset: CONFIG.status, size: 2, reset: 0x0200, clearable: 0x7800 },
  { offset: 0x4c, size: 1, reset: 0x4d, writable: 0xff },
  { offset: 0x4e, size: 2, reset: 0x0003, writable: 0x01ff },
  ...Array.from({ length: 4 }, (_, i) => {
    return { offset: PIRQ_ROUTE + i, size: 1, reset: ROUTE_DISABLED, writable: 0x8f } as const;
  }),
  { offset: 0x69, size: 1, reset: 0x02, writable: 0xfe },
  { offset: 0x6a, size: 2, reset: 0x0000, writable: 0x0006, clearable: 0x8000 },
  { offset: 0x70, size: 2, reset: 0x0080, writable: 0x00ef },
  { offset: 0x76, size: 2, reset: 0x0404, writable: 0x8f8f },
  { offset: 0x78, size: 2, reset: 0x0002, writable: 0xfffe },
  { offset: 0x80, size: 1, reset: 0x00, writable: 0x7f },
  { offset: 0x82, size: 1, reset: 0x00, writable: 0x0f },
  { offset: 0xa0, size: 1, reset: 0x08, writable: 0x1f },
  { offset: 0xa2, size: 2, reset: 0x0000, writable: 0x01ff },
  { offset: 0xa4, size: 4, reset: 0x0000_0000, writable: 0xffff_ffff },
  { offset: 0xa8, size: 1, reset: 0x0f, writable: 0xff },
  { offset: 0xaa, size: 2, reset: 0x0000, writable: 0x01ff },
  { offset: 0xac, size: 1, reset: 0x00, writable: 0xff },
  { offset: 0xae, size: 1, reset: 0x00, writable: 0xff },
];

export interface IsaBridgeOptions {
  readonly name: string;
  readonly place: Place;
  /** The sixteen ISA interrupts, this bridge's own wire to each; only those a PIRQ can be routed to are driven. */
  readonly irqs: readonly Line[];
  /** The guest asked for a reset through port 0xCF9: of the CPUs only, or of the whole board. */
  readonly resetRequested: (kind: 'cpu' | 'system') => void;
}

export interface IsaBridge extends PciDevice<typeof FIELDS> {
  /** Region `resetControl` is port 0xCF9; hand it to the bus, whose CONFIG_ADDRESS spans that port. */
  readonly regions: { readonly resetControl: Region };
  /** PIRQA# to PIRQD#. */
  readonly pirqs: readonly Line[];
}

/** Makes the ISA bridge; by custom it sits at slot 1, function 0. */
export function createIsaBridge(options: IsaBridgeOptions): IsaBridge {
  const { name, place, irqs, resetRequested } = options;
  const state = place(SCHEMA);
  const { config } = state;

  /** ISA interrupts that some asserted PIRQ is routed to, as a bit mask. */
  function asserted(): number {
    let mask = 0;
    for (let i = 0; i < 4; i++) {
      const route = config[PIRQ_ROUTE + i]!;
      if ((state.pirqs >> i) & 1 && (route & ROUTE_DISABLED) === 0) mask |= 1 << (route & 15);
    }
    return mask & ROUTABLE;
  }

  function drive(changed: number, levels: number): void {
    for (let irq = 0; irq < 16; irq++) {
      if ((changed >> irq) & 1) irqs[irq]?.set(((levels >> irq) & 1) === 1);
    }
  }

  /** Runs `change` and drives the interrupts that it changed. */
  function rerouting(change: () => void): void {
    const before = asserted();
    change();
    const after = asserted();
    if (before !== after) drive(before ^ after, after);
  }

  const pci = createPciFunction({
    name,
    config,
    identity: { vendor: 0x8086, device: 0x7000, revision: 0, classCode: 0x06_0100, multifunction: true },
    registers: REGISTERS,
  });

  return {
    name,
    schema: SCHEMA,
    state,
    pci: { ...pci, writeConfig: (offset, size, value) => rerouting(() => pci.writeConfig(offset, size, value)) },
    pirqs: [0, 1, 2, 3].map((i) => ({
      set(level: boolean) {
        const next = level ? state.pirqs | (1 << i) : state.pirqs & ~(1 << i);
        if (next !== state.pirqs) rerouting(() => (state.pirqs = next));
      },
    })),
    regions: {
      resetControl: {
        size: 1,
        read: () => state.resetControl,
        write(_offset, _size, value) {
          const rising = (value & ~state.resetControl & RESET_CONTROL.cpu) !== 0;
          // The bit that starts the reset drops again by the reset it causes.
          state.resetControl = value & RESET_CONTROL.system;
          if (rising) resetRequested((value & RESET_CONTROL.system) !== 0 ? 'system' : 'cpu');
        },
      },
    },
    reset() {
      rerouting(() => {
        pci.reset();
        state.pirqs = 0;
        state.resetControl = 0;
      });
    },
    restored() {
      pci.restored();
      state.pirqs &= 15;
      state.resetControl &= RESET_CONTROL.system;
      drive(ROUTABLE, asserted());
    },
  };
}
