/** How `translate` is told what an access is: its size in the low byte, these bits above. */
export const MEMORY_ACCESS = {
  write: 0x100,
  execute: 0x200,
  /** Through SS: a non-canonical address raises #SS instead of #GP. */
  stack: 0x400,
  /** Made by the processor itself (descriptor tables, TSS): supervisor rights whatever the CPL. */
  system: 0x800,
  /** A write of what was read from the same place: a device is read first. */
  modify: 0x1000,
  /** Part of an atomic access: as `modify`, and aligned in the RAM of one page or not at all. */
  locked: 0x2000,
} as const;
