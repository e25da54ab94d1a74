/** System description tables (ACPI 6.5 5.2.6). */
import { ascii, concat, u8, u32, u64, withChecksum } from '../bytes.ts';

export const OEM_ID = 'VIRTS ';
const OEM_TABLE_ID = 'VIRTSPC ';
const CREATOR_ID = 'VIRT';
/** Bytes of the header that every table but the FACS and the RSDP begins with. */
export const HEADER_SIZE = 36;
const CHECKSUM_AT = 9;

/** A table: header with length and checksum, then `body`. */
export function table(signature: string, revision: number, ...body: readonly Uint8Array[]): Uint8Array {
  const content = concat(...body);
  const header = concat(
    ascii(signature, 4),
    u32(HEADER_SIZE + content.length),
    u8(revision, 0),
    ascii(OEM_ID, 6),
    ascii(OEM_TABLE_ID, 8),
    u32(1),
    ascii(CREATOR_ID, 4),
    u32(1),
  );
  return withChecksum(concat(header, content), CHECKSUM_AT);
}

/** Access sizes of a generic address structure. */
export const ACCESS = { undefined: 0, byte: 1, word: 2, dword: 3 } as const;
const SPACE = { memory: 0, io: 1 } as const;

/** A generic address structure (5.2.3.2), 12 bytes. `bits` is the register's width. */
export function genericAddress(
  space: keyof typeof SPACE,
  bits: number,
  access: keyof typeof ACCESS,
  address: number,
): Uint8Array {
  return concat(u8(SPACE[space], bits, 0, ACCESS[access]), u64(address));
}

/** A generic address structure that says "not there". */
export const NO_ADDRESS = new Uint8Array(12);
