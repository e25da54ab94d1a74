/** Lays the ACPI tables out in the firmware area and points the root tables at them. */
import { VirtsError } from '../../base/errors.ts';
import type { BoardDescription } from '../board-description.ts';
import { alignUp, ascii, concat, u8, u32, u64, withChecksum } from '../bytes.ts';
import { LAYOUT } from '../layout.ts';
import { dsdt } from './dsdt.ts';
import { facs, fadt } from './fadt.ts';
import { hpetTable, madt } from './madt.ts';
import { OEM_ID, table } from './table.ts';

export interface AcpiTables {
  /** Goes to `LAYOUT.rsdp`. */
  readonly rsdp: Uint8Array;
  /** All other tables; goes to `LAYOUT.acpiTables`. */
  readonly tables: Uint8Array;
}

const FACS_ALIGNMENT = 64;
const TABLE_ALIGNMENT = 16;

/** Builds all tables. Throws 'usage' for a number of vCPUs that the tables cannot express. */
export function acpiTables(board: BoardDescription): AcpiTables {
  if (!Number.isInteger(board.vcpus) || board.vcpus < 1 || board.vcpus > 255) {
    throw new VirtsError('usage', `A machine has 1 to 255 vCPUs, not ${board.vcpus}.`, { vcpus: board.vcpus });
  }
  const parts: Uint8Array[] = [];
  let end: number = LAYOUT.acpiTables.base;
  const place = (bytes: Uint8Array, alignment = TABLE_ALIGNMENT): number => {
    const address = alignUp(end, alignment);
    parts.push(new Uint8Array(address - end), bytes);
    end = address + bytes.length;
    return address;
  };
  const facsAddress = place(facs(), FACS_ALIGNMENT);
  const dsdtAddress = place(dsdt(board));
  const listed = [place(fadt(board, facsAddress, dsdtAddress)), place(madt(board))];
  if (board.hpet) listed.push(place(hpetTable(board.hpet.base)));
  const rsdtAddress = place(table('RSDT', 1, u32(...listed)));
  const xsdtAddress = place(table('XSDT', 1, u64(...listed)));
  return { rsdp: rsdp(rsdtAddress, xsdtAddress), tables: concat(...parts) };
}

/** The root system description pointer (ACPI 6.5 5.2.5.3): 36 bytes, with a checksum over the first 20 and one over all. */
function rsdp(rsdt: number, xsdt: number): Uint8Array {
  const first = withChecksum(concat(ascii('RSD PTR '), u8(0), ascii(OEM_ID, 6), u8(2), u32(rsdt)), 8);
  return withChecksum(concat(first, u32(36), u64(xsdt), u8(0, 0, 0, 0)), 32);
}
