/** Boots a kernel directly: the tables that firmware would leave, the kernel, and the registers that it starts with. */
import { writeFlags } from '../cpu/flags.ts';
import type { BoardDescription } from '../firmware/board-description.ts';
import { installBoardTables } from '../firmware/board-tables.ts';
import { type EntryState, GENERAL_REGISTERS, type SegmentState } from '../firmware/entry.ts';
import { loadKernel } from '../firmware/kernel.ts';
import type { BootRequest } from '../firmware/loader.ts';
import { SEGMENT, type VcpuState } from '../isa/state.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { ACTIVITY } from './vcpu-reset.ts';

export { resetVcpu } from './vcpu-reset.ts';

/** Bytes that are there until they are given back. */
export interface LentBytes {
  readonly bytes: Uint8Array;
  release(): void;
}

/** The bytes of a file; or what lends them at every boot, so that nobody has to keep them meanwhile. */
type Content = Uint8Array | (() => LentBytes);

/** What to boot; where the tables are and whether there is a display follows from the board. */
export type KernelRequest = Omit<BootRequest, 'rsdp' | 'vga' | 'kernel' | 'initrd'> & {
  readonly kernel: Content;
  readonly initrd?: Content | undefined;
};

/** A request with the bytes of its files. */
export type KernelFiles = Omit<BootRequest, 'rsdp' | 'vga'>;

/** Calls `use` with the bytes of a request's files, which are given back afterwards. Throws what lends them throws. */
export function withKernelFiles<T>({ kernel, initrd, ...rest }: KernelRequest, use: (files: KernelFiles) => T): T {
  const lent: LentBytes[] = [];
  function borrow(content: Content): Uint8Array {
    if (typeof content !== 'function') return content;
    const loan = content();
    lent.push(loan);
    return loan.bytes;
  }
  try {
    const files = { ...rest, kernel: borrow(kernel) };
    return use(initrd === undefined ? files : { ...files, initrd: borrow(initrd) });
  } finally {
    for (const loan of lent) loan.release();
  }
}

/**
 * Puts tables and kernel into memory, at the first boot and at every later one; returns how the bootstrap processor
 * starts. Throws VirtsError 'bad-input' and 'unsupported' for the kernel, 'no-space' for too little memory, 'usage' for
 * the command line or an impossible board.
 */
export function bootKernel(memory: GuestMemory, board: BoardDescription, files: KernelFiles): EntryState {
  const rsdp = installBoardTables(memory, board);
  return loadKernel(memory, { ...files, rsdp, vga: board.vga }).entry;
}

/**
 * Writes an entry state over a vCPU that was just reset; registers that the boot protocol does not name keep their reset
 * values. The engine must look up the mode anew.
 */
export function applyEntryState(state: VcpuState, entry: EntryState): void {
  for (const [index, name] of GENERAL_REGISTERS.entries()) state.gpr[index] = entry.registers[name];
  state.rip = entry.rip;
  writeFlags(state, Number(entry.rflags));
  state.cr0 = entry.cr0;
  state.cr3 = entry.cr3;
  state.cr4 = entry.cr4;
  state.efer = entry.efer;
  state.gdtrBase = BigInt(entry.gdt.base);
  state.gdtrLimit = entry.gdt.limit;
  state.idtrBase = BigInt(entry.idt.base);
  state.idtrLimit = entry.idt.limit;
  for (const [name, segment] of Object.entries(entry.segments)) {
    writeSegment(state, SEGMENT[name as keyof typeof SEGMENT], segment);
  }
  state.cpl = (state.segmentAttributes[SEGMENT.ss] >> 5) & 3;
  state.activity = ACTIVITY.running;
}

/** The state block keeps attributes as VMX does: bits 8–23 of a descriptor's high half, and bit 16 for "unusable". */
function writeSegment(state: VcpuState, index: number, segment: SegmentState): void {
  state.segmentSelector[index] = segment.selector;
  state.segmentBase[index] = BigInt(segment.base);
  state.segmentLimit[index] = segment.limit;
  state.segmentAttributes[index] = segment.accessRights;
}
