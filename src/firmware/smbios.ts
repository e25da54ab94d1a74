/** System management BIOS structures (DMTF DSP0134, SMBIOS 3.0) with the 2.x and the 3.x entry point. */
import { VirtsError } from '../base/errors.ts';
import type { BoardDescription } from './board-description.ts';
import { ascii, concat, u8, u16, u32, u64, withChecksum } from './bytes.ts';
import { HIGH_MEMORY, LAYOUT } from './layout.ts';

const MANUFACTURER = 'Virts';
const PRODUCT = 'Virts virtual machine';
const VERSION = '1.0';
const FIRMWARE_DATE = '01/01/2026';

export interface SmbiosTables {
  /** Goes to `LAYOUT.smbios2Entry`. */
  readonly entry2: Uint8Array;
  /** Goes to `LAYOUT.smbios3Entry`. */
  readonly entry3: Uint8Array;
  /** Goes to `LAYOUT.smbiosTable`. */
  readonly table: Uint8Array;
}

/** Handles: the structure type times 256, so that cross-references are easy to read. */
const HANDLE = { chassis: 0x300, memoryArray: 0x1000, memoryDevice: 0x1100 } as const;
const NO_HANDLE = 0xfffe;
const UNKNOWN = 2;
const OTHER = 1;
const STATUS_SAFE = 3;

/** A structure: header, fields from offset 4 on, strings (numbered from 1), two NULs if there are none. */
function structure(type: number, fields: Uint8Array, ...strings: readonly string[]): Uint8Array {
  const texts = strings.length > 0 ? concat(...strings.map((text) => ascii(`${text}\0`)), u8(0)) : u8(0, 0);
  return concat(u8(type, 4 + fields.length), u16(type * 256), fields, texts);
}

/** The 16 bytes of a UUID as SMBIOS stores it, its first three fields little-endian (7.2.1). Throws 'usage'. */
export function uuidBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw new VirtsError('usage', `"${text}" is not a UUID.`);
  }
  const [low, middle, high, sequence, node] = text.split('-');
  const bigEndian = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  const fields = [low, middle, high].map((hex) => bigEndian(hex).reverse());
  return concat(...fields, bigEndian(sequence), bigEndian(node));
}

function firmware(): Uint8Array {
  const fields = concat(
    // Vendor, version; segment; date; size in 64 KiB less one.
    u8(1, 2),
    u16(LAYOUT.rsdp.base >> 4),
    u8(3, 0),
    // PCI and ACPI are supported; this is a virtual machine.
    u64(1 << 7),
    u8(1 << 0, 1 << 4),
    // Release 1.0, no embedded controller.
    u8(1, 0, 0xff, 0xff),
  );
  return structure(0, fields, MANUFACTURER, VERSION, FIRMWARE_DATE);
}

function system(uuid: string | undefined): Uint8Array {
  const POWER_SWITCH = 6;
  const fields = concat(u8(1, 2, 3, 0), uuid ? uuidBytes(uuid) : new Uint8Array(16), u8(POWER_SWITCH, 0, 0));
  return structure(1, fields, MANUFACTURER, PRODUCT, VERSION);
}

function baseboard(): Uint8Array {
  const MOTHERBOARD = 10;
  const HOSTING_BOARD = 1;
  const fields = concat(u8(1, 2, 3, 0, 0, HOSTING_BOARD, 0), u16(HANDLE.chassis), u8(MOTHERBOARD, 0));
  return structure(2, fields, MANUFACTURER, PRODUCT, VERSION);
}

function chassis(): Uint8Array {
  // Manufacturer, type, version, serial, asset; boot-up, power and thermal state; security; OEM; height, cords, elements.
  const states = u8(STATUS_SAFE, STATUS_SAFE, STATUS_SAFE, UNKNOWN);
  const fields = concat(u8(1, OTHER, 2, 0, 0), states, u32(0), u8(0, 0, 0, 0, 0));
  return structure(3, fields, MANUFACTURER, VERSION);
}

function processor(board: BoardDescription): Uint8Array {
  const CENTRAL_PROCESSOR = 3;
  const POPULATED_ENABLED = 0x41;
  const NO_CACHE_HANDLE = 0xffff;
  const CAPABLE_64_BIT = 1 << 2;
  const cores = board.vcpus;
  const fields = concat(
    // Socket; type; family "other"; manufacturer.
    u8(1, CENTRAL_PROCESSOR, OTHER, 2),
    u32(board.cpuSignature, board.cpuFeatures),
    // Version; voltage, clock, speeds unknown.
    u8(3, 0),
    u16(0, 0, 0),
    u8(POPULATED_ENABLED, OTHER),
    u16(NO_CACHE_HANDLE, NO_CACHE_HANDLE, NO_CACHE_HANDLE),
    // Serial, asset, part number; cores, enabled cores, threads: 255 says "see the 16-bit field".
    u8(0, 0, 0, cores, cores, cores),
    u16(CAPABLE_64_BIT, OTHER, cores, cores, cores),
  );
  return structure(4, fields, 'CPU 0', MANUFACTURER, VERSION);
}

function memoryArray(size: number): Uint8Array {
  const SYSTEM_BOARD = 3;
  const SYSTEM_MEMORY = 3;
  const NO_ERROR_CORRECTION = 3;
  const capacity = u32(Math.ceil(size / 1024));
  const fields = concat(u8(SYSTEM_BOARD, SYSTEM_MEMORY, NO_ERROR_CORRECTION), capacity, u16(NO_HANDLE, 1), u64(0));
  return structure(16, fields);
}

function memoryDevice(size: number): Uint8Array {
  const DIMM = 9;
  const RAM = 7;
  const WIDTH = 64;
  const fields = concat(
    // Array, no error information; widths; size in MiB; form factor, set; locators; type; details; speed.
    u16(HANDLE.memoryArray, NO_HANDLE, WIDTH, WIDTH, Math.floor(size / 0x100000)),
    u8(DIMM, 0, 1, 0, RAM),
    u16(1 << 1, 0),
    // Manufacturer, serial, asset, part; attributes; extended size; clock; voltages.
    u8(2, 0, 0, 0, 0),
    u32(0),
    u16(0, 0, 0, 0),
  );
  return structure(17, fields, 'DIMM 0', MANUFACTURER);
}

function mappedArea(size: number): Uint8Array {
  // First and last KiB, the array, its width in devices; extended addresses unused.
  const fields = concat(u32(0, Math.ceil(size / 1024) - 1), u16(HANDLE.memoryArray), u8(1), u64(0, 0));
  return structure(19, fields);
}

/** The structures for a board with `memory` bytes of RAM. Throws 'usage' if the board's UUID is malformed. */
export function smbiosTables(board: BoardDescription, memory: number): SmbiosTables {
  const structures = [
    firmware(),
    system(board.uuid),
    baseboard(),
    chassis(),
    processor(board),
    memoryArray(memory),
    memoryDevice(Math.max(memory, HIGH_MEMORY)),
    mappedArea(memory),
    // System boot information: no error.
    structure(32, u8(0, 0, 0, 0, 0, 0, 0)),
    structure(127, u8()),
  ];
  const table = concat(...structures);
  const largest = Math.max(...structures.map((bytes) => bytes.length));
  return { entry2: entry2(table.length, structures.length, largest), entry3: entry3(table.length), table };
}

/** The 31 bytes of the 2.x entry point (5.2.1): an outer part, and an inner one with its own checksum. */
function entry2(length: number, count: number, largest: number): Uint8Array {
  const inner = concat(ascii('_DMI_'), u8(0), u16(length), u32(LAYOUT.smbiosTable.base), u16(count), u8(0x28));
  const outer = concat(ascii('_SM_'), u8(0, 31, 2, 8), u16(largest), u8(0), new Uint8Array(5));
  return withChecksum(concat(outer, withChecksum(inner, 5)), 4);
}

/** The 24 bytes of the 3.x entry point (5.2.2). */
function entry3(length: number): Uint8Array {
  const fields = concat(ascii('_SM3_'), u8(0, 24, 3, 0, 0, 1, 0), u32(length), u64(LAYOUT.smbiosTable.base));
  return withChecksum(fields, 5);
}
