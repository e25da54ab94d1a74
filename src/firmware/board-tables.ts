/** Writes everything that describes the board into low memory, as a PC's firmware would have left it. */
import type { GuestMemory } from '../memory/guest-memory.ts';
import { acpiTables } from './acpi/tables.ts';
import type { BoardDescription } from './board-description.ts';
import { LAYOUT } from './layout.ts';
import { clear, putArea } from './loader.ts';
import { mpTables } from './mp-table.ts';
import { smbiosTables } from './smbios.ts';

/**
 * Writes ACPI, SMBIOS and MP tables, BIOS data area and EBDA; returns the address of the RSDP. Call it before
 * `loadKernel`, at every boot. Throws 'no-space' if the machine has less than 1 MiB, 'usage' for an impossible board.
 */
export function installBoardTables(memory: GuestMemory, board: BoardDescription): number {
  const acpi = acpiTables(board);
  const smbios = smbiosTables(board, memory.size);
  const mp = mpTables(board);
  clear(memory, 0, Math.min(memory.size, LAYOUT.smbiosTable.base + LAYOUT.smbiosTable.size));
  putArea(memory, LAYOUT.biosDataArea, biosDataArea(board), 'the BIOS data area');
  // The EBDA begins with its size in KiB.
  putArea(memory, LAYOUT.ebda, Uint8Array.of(LAYOUT.ebda.size >> 10), 'the EBDA');
  putArea(memory, LAYOUT.acpiTables, acpi.tables, 'the ACPI tables');
  putArea(memory, LAYOUT.rsdp, acpi.rsdp, 'the ACPI root pointer');
  putArea(memory, LAYOUT.smbiosTable, smbios.table, 'the SMBIOS structures');
  putArea(memory, LAYOUT.smbios2Entry, smbios.entry2, 'the SMBIOS 2 entry point');
  putArea(memory, LAYOUT.smbios3Entry, smbios.entry3, 'the SMBIOS 3 entry point');
  putArea(memory, LAYOUT.mpTable, mp.table, 'the MP configuration table');
  putArea(memory, LAYOUT.mpPointer, mp.pointer, 'the MP floating pointer');
  return LAYOUT.rsdp.base;
}

/** Offsets in the BIOS data area from 0x400 on (IBM PC/AT Technical Reference). */
const BIOS_DATA = { comPorts: 0x00, ebdaSegment: 0x0e, equipment: 0x10, baseMemoryKb: 0x13, videoMode: 0x49 } as const;
const COM_PORTS = 4;
const EQUIPMENT = { coprocessor: 1 << 1, pointingDevice: 1 << 2, text80x25: 2 << 4, comPortsShift: 9 } as const;

function biosDataArea(board: BoardDescription): Uint8Array {
  const area = new Uint8Array(LAYOUT.biosDataArea.size);
  const view = new DataView(area.buffer);
  const serial = board.serial.slice(0, COM_PORTS);
  for (const [i, { port }] of serial.entries()) view.setUint16(BIOS_DATA.comPorts + i * 2, port, true);
  view.setUint16(BIOS_DATA.ebdaSegment, LAYOUT.ebda.base >> 4, true);
  const equipment =
    EQUIPMENT.coprocessor |
    (board.ps2 ? EQUIPMENT.pointingDevice : 0) |
    (board.vga ? EQUIPMENT.text80x25 : 0) |
    (serial.length << EQUIPMENT.comPortsShift);
  view.setUint16(BIOS_DATA.equipment, equipment, true);
  view.setUint16(BIOS_DATA.baseMemoryKb, LAYOUT.ebda.base >> 10, true);
  if (board.vga) {
    area[BIOS_DATA.videoMode] = 3;
    view.setUint16(BIOS_DATA.videoMode + 1, 80, true);
  }
  return area;
}
