/** The register image of a task in a 16- or 32-bit TSS (SDM vol. 3A 7.2.1, 7.6). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { SEGMENT } from '../isa/state.ts';
import type { CpuContext } from './context.ts';

/** Where a TSS keeps what a task switch saves and loads; all offsets in bytes. */
interface Layout {
  /** Smallest legal limit. */
  readonly limit: number;
  /** Bytes of a register. */
  readonly width: 2 | 4;
  readonly cr3: number | undefined;
  readonly ip: number;
  readonly flags: number;
  readonly registers: number;
  /** ES, CS, SS, DS, and FS, GS in a 32-bit TSS. */
  readonly segments: number;
  readonly segmentCount: 4 | 6;
  readonly ldt: number;
  readonly trap: number | undefined;
}

const LAYOUT_16: Layout = {
  limit: 0x2b,
  width: 2,
  cr3: undefined,
  ip: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: 0x22,
  segmentCount: 4,
  ldt: 0x2a,
  trap: undefined,
};

const LAYOUT_32: Layout = {
  limit: 0x67,
  width: 4,
  cr3: 0x1c,
  ip: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: 0x48,
  segmentCount: 6,
  ldt: 0x60,
  trap: 0x64,
};

export const taskLayout = (wide: boolean): Layout => (wide ? LAYOUT_32 : LAYOUT_16);

export interface TaskImage {
  readonly cr3: bigint | undefined;
  readonly ip: bigint;
  readonly flags: number;
  readonly registers: readonly bigint[];
  /** Selectors by segment register number; FS and GS are null in a 16-bit TSS. */
  readonly segments: readonly number[];
  readonly ldt: number;
  readonly trap: boolean;
}

/** Reads a task's image; `undefined` after a page fault. */
export function readTaskImage(context: CpuContext, base: bigint, wide: boolean): TaskImage | undefined {
  const layout = taskLayout(wide);
  const { width } = layout;
  let faulted = false;
  const read = (offset: number, size: 2 | 4 = width): bigint => {
    if (faulted) return 0n;
    const value = context.readLinear(base + BigInt(offset), size, MEMORY_ACCESS.system);
    if (value === undefined) faulted = true;
    return value ?? 0n;
  };
  const image: TaskImage = {
    cr3: layout.cr3 === undefined ? undefined : read(layout.cr3),
    ip: read(layout.ip),
    flags: Number(read(layout.flags)),
    registers: Array.from({ length: 8 }, (_, i) => read(layout.registers + i * width)),
    segments: Array.from({ length: 6 }, (_, i) =>
      i < layout.segmentCount ? Number(read(layout.segments + i * width, 2)) : 0,
    ),
    ldt: Number(read(layout.ldt, 2)),
    trap: layout.trap !== undefined && (read(layout.trap, 2) & 1n) !== 0n,
  };
  return faulted ? undefined : image;
}

/** Whether the image of the task can be written: everything from the instruction pointer to the last selector. */
export function probeTaskImage(context: CpuContext, base: bigint, wide: boolean): boolean {
  const { ip, ldt } = taskLayout(wide);
  return context.probeWrite(base + BigInt(ip), ldt - ip, MEMORY_ACCESS.system);
}

/** Saves the current task's registers to its TSS, which has been probed. */
export function writeTaskImage(context: CpuContext, base: bigint, wide: boolean, ip: bigint, flags: number): void {
  const { state } = context;
  const layout = taskLayout(wide);
  const { width } = layout;
  const write = (offset: number, value: bigint, size: 2 | 4 = width) => {
    context.writeLinear(base + BigInt(offset), size, value, MEMORY_ACCESS.system);
  };
  write(layout.ip, ip);
  write(layout.flags, BigInt(flags));
  for (let i = 0; i < 8; i++) write(layout.registers + i * width, state.gpr[i]);
  for (let i = 0; i < layout.segmentCount; i++) {
    write(layout.segments + i * width, BigInt(state.segmentSelector[SEGMENT.es + i]), 2);
  }
}
