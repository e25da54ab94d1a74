/**
 * Where the loaders and the board's tables go in the first mebibyte.
 *
 * What only the loader needs lies below `LOADER_END`; a kernel that asks to be loaded there is refused. What the guest
 * may read at any time lies in the EBDA and in the firmware area, both reserved in the memory map.
 */

export interface Area {
  /** Guest-physical address. */
  readonly base: number;
  /** Bytes. */
  readonly size: number;
}

export const LAYOUT = {
  /** IBM PC BIOS data area: COM port addresses, EBDA segment, size of base memory. */
  biosDataArea: { base: 0x400, size: 0x100 },
  gdt: { base: 0x1000, size: 0x100 },
  /** A stack for kernels that push before they set up their own; it grows down from the end. */
  bootStack: { base: 0x2000, size: 0x1000 },
  /** PVH start info or multiboot information, with the lists they point to. */
  bootInformation: { base: 0x3000, size: 0x1000 },
  /** The command line of the initrd as a module (multiboot, PVH). */
  moduleCommandLine: { base: 0x4000, size: 0x1000 },
  /** Linux `boot_params`. */
  zeroPage: { base: 0x7000, size: 0x1000 },
  /** PML4, one page directory pointer table, four page directories: 4 GiB in 2 MiB pages. */
  pageTables: { base: 0x9000, size: 0x6000 },
  commandLine: { base: 0x10000, size: 0x10000 },
  /** Extended BIOS data area: the top kibibyte of base memory. */
  ebda: { base: 0x9fc00, size: 0x400 },
  /** ACPI tables except the RSDP. */
  acpiTables: { base: 0xe0000, size: 0x10000 },
  /** The four anchors that guests search for on 16-byte boundaries between 0xF0000 and 0xFFFFF. */
  rsdp: { base: 0xf0000, size: 0x40 },
  smbios2Entry: { base: 0xf0040, size: 0x20 },
  smbios3Entry: { base: 0xf0060, size: 0x20 },
  mpPointer: { base: 0xf0080, size: 0x10 },
  mpTable: { base: 0xf0100, size: 0x3f00 },
  smbiosTable: { base: 0xf4000, size: 0x2000 },
} as const satisfies Record<string, Area>;

/** End of what the loaders use in low memory; from here to the EBDA a kernel may be loaded. */
export const LOADER_END = 0x20000;
/** Video memory and option ROMs begin here. */
export const BASE_MEMORY_END = 0xa0000;
export const FIRMWARE_AREA: Area = { base: 0xe0000, size: 0x20000 };
/** Extended memory begins here. */
export const HIGH_MEMORY = 0x100000;
/** RAM ends at most here (3.5 GiB); devices live above. */
export const MMIO_START = 0xe0000000;
