/** The tables of Intel's MultiProcessor Specification 1.4, for systems that know APICs but not ACPI. */
import { type BoardDescription, pciInterrupt } from './board-description.ts';
import { ascii, concat, u8, u16, u32, withChecksum } from './bytes.ts';
import { LAYOUT } from './layout.ts';

export interface MpTables {
  /** Goes to `LAYOUT.mpPointer`. */
  readonly pointer: Uint8Array;
  /** Goes to `LAYOUT.mpTable`. */
  readonly table: Uint8Array;
}

const PROCESSOR = 0;
const BUS = 1;
const IO_APIC = 2;
const IO_INTERRUPT = 3;
const LOCAL_INTERRUPT = 4;

const ENABLED = 1;
const BOOT_PROCESSOR = 2;
/** Integrated (not 82489DX) APICs. */
const APIC_VERSION = 0x14;
const IO_APIC_VERSION = 0x20;

const PCI_BUS = 0;
const ISA_BUS = 1;

const INT = 0;
const NMI = 1;
const EXT_INT = 3;
/** Polarity in bits 0–1 and trigger mode in bits 2–3, as in ACPI's MADT. */
const CONFORMING = 0;
const LEVEL_LOW = 0b1111;
const LEVEL_HIGH = 0b1101;
const ALL_APICS = 0xff;

const ISA_INTERRUPTS = 16;
/** The second PIC's output arrives there; no device does. */
const CASCADE = 2;
const PCI_DEVICES = 32;
const HEADER_SIZE = 44;

/** Builds the floating pointer and the configuration table. */
export function mpTables(board: BoardDescription): MpTables {
  const buses = [...(board.pci ? [bus(PCI_BUS, 'PCI')] : []), bus(ISA_BUS, 'ISA')];
  const ioApic = concat(u8(IO_APIC, board.ioApic.id, IO_APIC_VERSION, ENABLED), u32(board.ioApic.base));
  const entries = [
    ...Array.from({ length: board.vcpus }, (_, n) => processor(board, n)),
    ...buses,
    ioApic,
    ...pciInterrupts(board),
    ...isaInterrupts(board),
    interrupt(LOCAL_INTERRUPT, EXT_INT, CONFORMING, ISA_BUS, 0, ALL_APICS, 0),
    interrupt(LOCAL_INTERRUPT, NMI, CONFORMING, ISA_BUS, 0, ALL_APICS, 1),
  ];
  const body = concat(...entries);
  const header = concat(
    ascii('PCMP'),
    u16(HEADER_SIZE + body.length),
    u8(4, 0),
    ascii('VIRTS', 8),
    ascii('VIRTSPC', 12),
    u32(0),
    u16(0, entries.length),
    u32(board.localApic, 0),
  );
  return { pointer: floatingPointer(), table: withChecksum(concat(header, body), 7) };
}

function floatingPointer(): Uint8Array {
  // Length in paragraphs, revision 1.4, checksum, feature bytes: a configuration table is present, no IMCR.
  return withChecksum(concat(ascii('_MP_'), u32(LAYOUT.mpTable.base), u8(1, 4, 0, 0, 0, 0, 0, 0)), 10);
}

function processor(board: BoardDescription, n: number): Uint8Array {
  const flags = ENABLED | (n === 0 ? BOOT_PROCESSOR : 0);
  return concat(u8(PROCESSOR, n, APIC_VERSION, flags), u32(board.cpuSignature, board.cpuFeatures, 0, 0));
}

function bus(id: number, type: string): Uint8Array {
  return concat(u8(BUS, id), ascii(type, 6));
}

function interrupt(
  entry: typeof IO_INTERRUPT | typeof LOCAL_INTERRUPT,
  type: number,
  flags: number,
  sourceBus: number,
  source: number,
  apic: number,
  input: number,
): Uint8Array {
  return concat(u8(entry, type), u16(flags), u8(sourceBus, source, apic, input));
}

function pciInterrupts(board: BoardDescription): Uint8Array[] {
  const { pci } = board;
  if (pci === undefined) return [];
  const result: Uint8Array[] = [];
  for (let device = 0; device < PCI_DEVICES; device++) {
    for (let pin = 0; pin < 4; pin++) {
      const { gsi } = pciInterrupt(pci, device, pin);
      const source = (device << 2) | pin;
      result.push(interrupt(IO_INTERRUPT, INT, LEVEL_LOW, PCI_BUS, source, board.ioApic.id, gsi));
    }
  }
  return result;
}

function isaInterrupts(board: BoardDescription): Uint8Array[] {
  const { sci } = board.powerManagement;
  const taken: readonly number[] = board.pci?.gsis ?? [];
  const result: Uint8Array[] = [];
  for (let irq = 0; irq < ISA_INTERRUPTS; irq++) {
    if (irq === CASCADE || taken.includes(irq)) continue;
    const sciFlags = sci.polarity === 'high' ? LEVEL_HIGH : LEVEL_LOW;
    const flags = irq === sci.irq ? sciFlags : CONFORMING;
    const input = irq === 0 ? board.timerGsi : irq;
    result.push(interrupt(IO_INTERRUPT, INT, flags, ISA_BUS, irq, board.ioApic.id, input));
  }
  return result;
}
