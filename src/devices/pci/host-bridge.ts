/**
 * The host bridge of the Intel 440FX (82441FX data sheet, 290549): the identity that systems look for at 00:00.0, and
 * the registers that say which of RAM and ROM answers between 768 KiB and 1 MiB.
 */
import { struct } from '../../base/struct.ts';
import type { Place } from '../device.ts';
import { CONFIG, PCI_FIELDS } from './config-space.ts';
import { createPciFunction, type PciDevice } from './function.ts';
import type { PciRegister } from './layout.ts';

const SCHEMA = struct('i440fx', 1, PCI_FIELDS);

const PAM = 0x59;
const PAM_COUNT = 7;
const SMRAM = 0x72;
const SMRAM_BITS = { locked: 0x10, closed: 0x20, open: 0x40 } as const;

const REGISTERS: readonly PciRegister[] = [
  // Memory access and bus mastering are hardwired on: the bridge is the way to memory.
  { offset: CONFIG.command, size: 2, reset: 0x0006, writable: 0x0140 },
  { offset: CONFIG.status, size: 2, reset: 0x0280, clearable: 0xf900 },
  { offset: 0x50, size: 2, reset: 0x0000, writable: 0xffff },
  { offset: 0x57, size: 1, reset: 0x01, writable: 0x3f },
  { offset: 0x58, size: 1, reset: 0x00, writable: 0xff },
  { offset: PAM, size: 1, reset: 0x00, writable: 0x30 },
  ...Array.from({ length: PAM_COUNT - 1 }, (_, i) => {
    return { offset: PAM + 1 + i, size: 1, reset: 0x00, writable: 0x33 } as const;
  }),
  ...Array.from({ length: 8 }, (_, i) => ({ offset: 0x60 + i, size: 1, reset: 0x01, writable: 0xff }) as const),
  { offset: 0x68, size: 1, reset: 0x00, writable: 0xc0 },
  { offset: 0x70, size: 1, reset: 0x00, writable: 0xf8 },
  { offset: 0x71, size: 1, reset: 0x10, writable: 0xf8 },
  { offset: SMRAM, size: 1, reset: 0x02, writable: 0x78 },
];

/** Who answers a piece of the area from 768 KiB to 1 MiB: RAM, or the ROM (or nobody) on the bus below. */
export interface PamSegment {
  /** Guest-physical address and length, in bytes. */
  readonly start: number;
  readonly size: number;
  readonly readRam: boolean;
  readonly writeRam: boolean;
}

export interface HostBridgeOptions {
  readonly name: string;
  readonly place: Place;
  /** Called when a PAM register was written, after a reset and after a restore. */
  readonly pamChanged?: (segments: readonly PamSegment[]) => void;
}

/** PAM0's high half is the BIOS at 0xF0000 (64 KiB); PAM1–6 are pairs of 16 KiB from 0xC0000 (data sheet 3.2.18). */
function pamSegments(config: Uint8Array): PamSegment[] {
  const segment = (start: number, size: number, bits: number): PamSegment => {
    return { start, size, readRam: (bits & 1) !== 0, writeRam: (bits & 2) !== 0 };
  };
  const segments = [segment(0xf_0000, 0x1_0000, config[PAM]! >> 4)];
  for (let i = 1; i < PAM_COUNT; i++) {
    const start = 0xc_0000 + (i - 1) * 0x8000;
    segments.push(segment(start, 0x4000, config[PAM + i]!), segment(start + 0x4000, 0x4000, config[PAM + i]! >> 4));
  }
  return segments;
}

/**
 * What the SMRAM register holds after a write of `next` over `old`. Once D_LCK is set it stays, D_OPEN is held at 0 and
 * G_SMRAME at its value, until a reset (data sheet 3.2.22).
 */
function nextSmram(old: number, next: number): number {
  const { locked, closed, open } = SMRAM_BITS;
  const held = (old & locked) !== 0 ? (old & ~closed) | (next & closed) : next;
  return (held & locked) !== 0 ? held & ~open : held;
}

/** Makes the host bridge; it belongs at slot 0, function 0. */
export function createHostBridge(options: HostBridgeOptions): PciDevice<typeof PCI_FIELDS> {
  const { name, place, pamChanged } = options;
  const state = place(SCHEMA);
  const { config } = state;
  const report = () => pamChanged?.(pamSegments(config));
  const pci = createPciFunction({
    name,
    config,
    identity: { vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x06_0000 },
    registers: REGISTERS,
    written(offset, size) {
      if (offset < PAM + PAM_COUNT && offset + size > PAM) report();
    },
  });

  return {
    name,
    schema: SCHEMA,
    state,
    regions: {},
    pci: {
      ...pci,
      writeConfig(offset, size, value) {
        const smram = config[SMRAM]!;
        pci.writeConfig(offset, size, value);
        config[SMRAM] = nextSmram(smram, config[SMRAM]!);
      },
    },
    reset() {
      pci.reset();
      report();
    },
    restored() {
      pci.restored();
      report();
    },
  };
}
