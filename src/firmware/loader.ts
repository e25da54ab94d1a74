/** What the kernel loaders share: the request, the result, and careful writing into guest memory. */
import { VirtsError } from '../base/errors.ts';
import { type GuestMemory, writeGuest } from '../memory/guest-memory.ts';
import { alignDown, alignUp, concat } from './bytes.ts';
import { bootGdt, type EntryState, identityPageTables } from './entry.ts';
import { type Area, HIGH_MEMORY, LAYOUT, LOADER_END } from './layout.ts';

export type KernelFormat = 'bzimage' | 'pvh' | 'multiboot' | 'multiboot2';

/** A kernel to boot and what to hand to it. */
export interface BootRequest {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  /** Text, without a NUL. */
  readonly commandLine: string;
  /** The string that goes with the initrd where the protocol makes it a module; empty by default. */
  readonly moduleCommandLine?: string;
  /** Guest-physical address of the ACPI RSDP, 0 for none. */
  readonly rsdp: number;
  /** The board has a VGA adapter, in 80x25 text mode. */
  readonly vga: boolean;
}

export interface LoadedKernel {
  readonly format: KernelFormat;
  readonly entry: EntryState;
  /** The memory that the kernel occupies while it starts. */
  readonly kernel: Area;
  readonly initrd?: Area;
}

const PAGE = 0x1000;

/** "12 MiB", rounded up: how much memory to ask for. */
export function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 0x100000)} MiB`;
}

/** Writes, or throws 'no-space' if that is not RAM. `what` names the thing in the sentence. */
export function put(memory: GuestMemory, address: number, bytes: Uint8Array, what: string): void {
  if (writeGuest(memory, address, bytes)) return;
  const end = address + bytes.length;
  throw new VirtsError(
    'no-space',
    `There is no room for ${what}: the machine needs at least ${mebibytes(end)} of memory.`,
    {
      address,
      length: bytes.length,
      memory: memory.size,
    },
  );
}

/** Writes a table into its place in the layout; one that outgrew the place is a defect. */
export function putArea(memory: GuestMemory, area: Area, bytes: Uint8Array, what: string): void {
  if (bytes.length > area.size) {
    throw new VirtsError('internal', `${what} does not fit its place in low memory.`, {
      length: bytes.length,
      area,
    });
  }
  put(memory, area.base, bytes, what);
}

/**
 * Zeroes `[address, address + length)`, which must be RAM. Pages that read as zero are left alone, so that clearing a
 * large bss of a fresh machine takes no memory on the host.
 */
export function clear(memory: GuestMemory, address: number, length: number): void {
  const end = address + length;
  for (let at = address; at < end; ) {
    const next = Math.min(end, alignDown(at, PAGE) + PAGE);
    const dirty = memory.spans(at, next - at, 'read')?.some((span) => span.some((byte) => byte !== 0));
    if (dirty) for (const span of memory.spans(at, next - at, 'write') ?? []) span.fill(0);
    at = next;
  }
}

/**
 * The command line as UTF-8 with its final NUL. `limit` is the longest the kernel takes, in bytes without the NUL.
 * Throws 'usage' for one that is too long or contains a NUL.
 */
export function encodeCommandLine(text: string, limit: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const longest = Math.min(limit, LAYOUT.commandLine.size - 1);
  if (bytes.includes(0)) throw new VirtsError('usage', 'The kernel command line must not contain a NUL character.');
  if (bytes.length > longest) {
    throw new VirtsError(
      'usage',
      `The kernel command line has ${bytes.length} bytes, but this kernel takes at most ${longest}.`,
      { length: bytes.length, limit: longest },
    );
  }
  return concat(bytes, new Uint8Array(1));
}

/** Writes the initrd's own command line; returns its address, 0 if there is none. */
export function putModuleCommandLine(memory: GuestMemory, request: BootRequest): number {
  if (request.initrd === undefined) return 0;
  const text = encodeCommandLine(request.moduleCommandLine ?? '', LAYOUT.moduleCommandLine.size - 1);
  putArea(memory, LAYOUT.moduleCommandLine, text, 'the command line of the initrd');
  return LAYOUT.moduleCommandLine.base;
}

/** The GDT for a mode and, for long mode, the page tables. */
export function putEntryTables(memory: GuestMemory, mode: EntryState['mode']): void {
  putArea(memory, LAYOUT.gdt, bootGdt(mode), 'the boot GDT');
  if (mode === 'long') putArea(memory, LAYOUT.pageTables, identityPageTables(), 'the boot page tables');
}

/**
 * Puts the initrd page-aligned and as high as it goes below `ceiling` (at most the end of RAM), but clear of the
 * kernel: above it if it fits there, else between 1 MiB and it. Throws 'no-space'.
 */
export function putInitrdHigh(memory: GuestMemory, initrd: Uint8Array, kernel: Area, ceiling: number): Area {
  const kernelEnd = alignUp(kernel.base + kernel.size, PAGE);
  const above = alignDown(Math.min(ceiling, memory.size) - initrd.length, PAGE);
  const below = alignDown(Math.min(ceiling, kernel.base) - initrd.length, PAGE);
  const base = above >= kernelEnd ? above : below;
  if (base < HIGH_MEMORY) throw initrdDoesNotFit(memory, initrd, kernelEnd, ceiling);
  put(memory, base, initrd, 'the initrd');
  return { base, size: initrd.length };
}

/** Puts the initrd page-aligned right after the kernel. Throws 'no-space'. */
export function putInitrdAfter(memory: GuestMemory, initrd: Uint8Array, kernelEnd: number): Area {
  const base = alignUp(Math.max(kernelEnd, HIGH_MEMORY), PAGE);
  if (base + initrd.length > memory.size) throw initrdDoesNotFit(memory, initrd, base, memory.size);
  put(memory, base, initrd, 'the initrd');
  return { base, size: initrd.length };
}

function initrdDoesNotFit(memory: GuestMemory, initrd: Uint8Array, kernelEnd: number, ceiling: number): VirtsError {
  const context = { initrd: initrd.length, kernelEnd, ceiling, memory: memory.size };
  const needed = alignUp(kernelEnd + initrd.length, PAGE);
  const problem = `The initrd (${mebibytes(initrd.length)}) does not fit beside the kernel`;
  if (needed > ceiling) {
    return new VirtsError('no-space', `${problem}: this kernel wants it below ${mebibytes(ceiling)}.`, context);
  }
  return new VirtsError('no-space', `${problem}: the machine needs at least ${mebibytes(needed)} of memory.`, context);
}

/**
 * Checks that a piece of the kernel lies where a kernel may: above the loader's own tables and below the EBDA, or from
 * 1 MiB to the end of RAM. Throws 'bad-input' or 'no-space'.
 */
export function checkPlacement(memory: GuestMemory, base: number, size: number): void {
  const end = base + size;
  if (base >= HIGH_MEMORY ? end <= memory.size : base >= LOADER_END && end <= LAYOUT.ebda.base) return;
  const context = { base, size, memory: memory.size };
  if (base >= HIGH_MEMORY && end <= 2 ** 32) {
    throw new VirtsError(
      'no-space',
      `The kernel does not fit into memory: the machine needs at least ${mebibytes(end)}.`,
      context,
    );
  }
  const range = `0x${base.toString(16)}–0x${end.toString(16)}`;
  throw new VirtsError(
    'bad-input',
    `The kernel wants to be loaded at ${range}, which is not free memory on a PC.`,
    context,
  );
}
