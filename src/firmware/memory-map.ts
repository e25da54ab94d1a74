/** The map of guest-physical memory that every boot protocol passes on, each in its own encoding. */
import { VirtsError } from '../base/errors.ts';
import { type Area, FIRMWARE_AREA, HIGH_MEMORY, LAYOUT, MMIO_START } from './layout.ts';

/** Address range types of the E820 interface (ACPI 6.5 table 15.4); PVH and multiboot use the same numbers. */
export const MEMORY_USABLE = 1;
export const MEMORY_RESERVED = 2;

export interface MemoryRange extends Area {
  readonly type: typeof MEMORY_USABLE | typeof MEMORY_RESERVED;
}

/**
 * The ranges of a machine with `size` bytes of RAM, in ascending order: base memory, EBDA, firmware area, extended
 * memory. Throws 'no-space' if there is no extended memory or it would reach into the device area.
 */
export function memoryMap(size: number): MemoryRange[] {
  if (size <= HIGH_MEMORY) {
    throw new VirtsError('no-space', 'The machine needs more than 1 MiB of memory to boot a kernel.', { memory: size });
  }
  if (size > MMIO_START) {
    throw new VirtsError('no-space', 'The machine can have at most 3584 MiB of memory.', { memory: size });
  }
  return [
    { base: 0, size: LAYOUT.ebda.base, type: MEMORY_USABLE },
    { ...LAYOUT.ebda, type: MEMORY_RESERVED },
    { ...FIRMWARE_AREA, type: MEMORY_RESERVED },
    { base: HIGH_MEMORY, size: size - HIGH_MEMORY, type: MEMORY_USABLE },
  ];
}
