/** The multiple APIC description table (ACPI 6.5 5.2.12) and the HPET table (IA-PC HPET Specification 1.0a 3.2.4). */
import type { BoardDescription } from '../board-description.ts';
import { concat, u8, u16, u32 } from '../bytes.ts';
import { genericAddress, table } from './table.ts';

const LOCAL_APIC = 0;
const IO_APIC = 1;
const INTERRUPT_SOURCE_OVERRIDE = 2;
const LOCAL_APIC_NMI = 4;

/** The board has PICs as well. */
const PCAT_COMPATIBLE = 1;
const PROCESSOR_ENABLED = 1;
const ALL_PROCESSORS = 0xff;

/** MPS INTI flags (table 5.26): polarity in bits 0–1, trigger mode in bits 2–3; 0 is "as the bus does". */
const CONFORMING = 0;
const LEVEL_HIGH = 0b1101;
const LEVEL_LOW = 0b1111;

export function madt(board: BoardDescription): Uint8Array {
  const { sci } = board.powerManagement;
  return table(
    'APIC',
    5,
    u32(board.localApic, PCAT_COMPATIBLE),
    ...Array.from({ length: board.vcpus }, (_, n) => concat(u8(LOCAL_APIC, 8, n, n), u32(PROCESSOR_ENABLED))),
    concat(u8(IO_APIC, 12, board.ioApic.id, 0), u32(board.ioApic.base, 0)),
    override(0, board.timerGsi, CONFORMING),
    override(sci.irq, sci.irq, sci.polarity === 'high' ? LEVEL_HIGH : LEVEL_LOW),
    concat(u8(LOCAL_APIC_NMI, 6, ALL_PROCESSORS), u16(CONFORMING), u8(1)),
  );
}

/** ISA interrupt `irq` arrives at I/O APIC input `gsi`. */
function override(irq: number, gsi: number, flags: number): Uint8Array {
  return concat(u8(INTERRUPT_SOURCE_OVERRIDE, 10, 0, irq), u32(gsi), u16(flags));
}

/** Vendor Intel, legacy replacement routing, 64-bit counter, 3 comparators, revision 1. */
export const HPET_BLOCK_ID = 0x8086a201;
/** In ticks of 10 ns; what guests may rely on in periodic mode. */
const HPET_MINIMUM_TICK = 0x80;

/** `blockId` must equal the low half of the device's capabilities register. */
export function hpetTable(base: number, blockId: number = HPET_BLOCK_ID): Uint8Array {
  return table(
    'HPET',
    1,
    u32(blockId),
    genericAddress('memory', 64, 'undefined', base),
    u8(0),
    u16(HPET_MINIMUM_TICK),
    u8(0),
  );
}
