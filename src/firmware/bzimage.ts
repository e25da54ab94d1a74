/**
 * Loads a Linux/x86 bzImage (Linux documentation, "The Linux/x86 Boot Protocol"): by the 64-bit protocol if the kernel
 * has that entry, else by the 32-bit one.
 */
import { VirtsError } from '../base/errors.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { alignUp, concat, u32, u64 } from './bytes.ts';
import { type BzImageHeader, parseBzImage, SETUP_HEADER_AT } from './bzimage-header.ts';
import { entryState } from './entry.ts';
import { type Area, HIGH_MEMORY, LAYOUT } from './layout.ts';
import {
  type BootRequest,
  encodeCommandLine,
  type LoadedKernel,
  mebibytes,
  put,
  putArea,
  putEntryTables,
  putInitrdHigh,
} from './loader.ts';
import { memoryMap } from './memory-map.ts';

/** The 64-bit entry point lies here in the protected-mode code, the 32-bit one at its start. */
const ENTRY_64 = 0x200;

/**
 * Puts kernel, initrd, command line and zero page into memory.
 *
 * Throws 'bad-input' or 'unsupported' for a bad image, 'no-space' if kernel or initrd does not fit, 'usage' if the
 * command line is too long.
 */
export function loadBzImage(memory: GuestMemory, request: BootRequest): LoadedKernel {
  const header = parseBzImage(request.kernel);
  const commandLine = encodeCommandLine(request.commandLine, header.commandLineLimit);
  const kernel = placeKernel(memory, header);
  const mode = header.entry64 ? 'long' : 'protected';
  put(memory, kernel.base, header.protectedModeCode, 'the kernel');
  putArea(memory, LAYOUT.commandLine, commandLine, 'the kernel command line');
  putEntryTables(memory, mode);
  const initrd = request.initrd && putInitrdHigh(memory, request.initrd, kernel, header.initrdCeiling);
  putArea(memory, LAYOUT.zeroPage, zeroPage(memory, request, header, kernel, initrd), 'the zero page');
  const rip = kernel.base + (header.entry64 ? ENTRY_64 : 0);
  const entry = entryState(mode, rip, { rsi: LAYOUT.zeroPage.base });
  return { format: 'bzimage', entry, kernel, ...(initrd && { initrd }) };
}

/**
 * The area from the load address on that the kernel needs to start. A relocatable kernel could be loaded elsewhere, but
 * on x86 it still unpacks itself at its preferred address or above, so elsewhere gains nothing.
 */
function placeKernel(memory: GuestMemory, header: BzImageHeader): Area {
  const base = alignUp(header.preferredAddress, header.alignment);
  const end = base + header.initSize;
  if (end > memory.size) {
    throw new VirtsError(
      'no-space',
      `The kernel does not fit into memory: it needs at least ${mebibytes(end)} to start, the machine has ${mebibytes(memory.size)}.`,
      { base, initSize: header.initSize, memory: memory.size },
    );
  }
  return { base, size: header.initSize };
}

/** Offsets in `boot_params` (Linux documentation, "zero-page"). */
const ZERO_PAGE = {
  extendedMemoryKb: 0x002,
  originalVideoMode: 0x006,
  originalVideoColumns: 0x007,
  originalVideoLines: 0x00e,
  originalVideoIsVga: 0x00f,
  originalVideoPoints: 0x010,
  acpiRsdpAddress: 0x070,
  alternativeMemoryKb: 0x1e0,
  e820Entries: 0x1e8,
  e820Table: 0x2d0,
  videoMode: 0x1fa,
  typeOfLoader: 0x210,
  code32Start: 0x214,
  ramdiskImage: 0x218,
  ramdiskSize: 0x21c,
  commandLinePointer: 0x228,
} as const;

/** A loader without a number of its own. */
const LOADER_UNDEFINED = 0xff;
const VIDEO_MODE_NORMAL = 0xffff;

function zeroPage(
  memory: GuestMemory,
  request: BootRequest,
  header: BzImageHeader,
  kernel: Area,
  initrd: Area | undefined,
): Uint8Array {
  const page = new Uint8Array(LAYOUT.zeroPage.size);
  const view = new DataView(page.buffer);
  page.set(header.setupHeader, SETUP_HEADER_AT);
  view.setUint16(ZERO_PAGE.videoMode, VIDEO_MODE_NORMAL, true);
  page[ZERO_PAGE.typeOfLoader] = LOADER_UNDEFINED;
  view.setUint32(ZERO_PAGE.code32Start, kernel.base, true);
  view.setUint32(ZERO_PAGE.ramdiskImage, initrd?.base ?? 0, true);
  view.setUint32(ZERO_PAGE.ramdiskSize, initrd?.size ?? 0, true);
  view.setUint32(ZERO_PAGE.commandLinePointer, LAYOUT.commandLine.base, true);
  view.setBigUint64(ZERO_PAGE.acpiRsdpAddress, BigInt(request.rsdp), true);
  if (request.vga) {
    page.set([3, 80], ZERO_PAGE.originalVideoMode);
    page[ZERO_PAGE.originalVideoLines] = 25;
    page[ZERO_PAGE.originalVideoIsVga] = 1;
    view.setUint16(ZERO_PAGE.originalVideoPoints, 16, true);
  }
  const map = memoryMap(memory.size);
  const extendedKb = (memory.size - HIGH_MEMORY) >>> 10;
  view.setUint16(ZERO_PAGE.extendedMemoryKb, Math.min(extendedKb, 0xfc00), true);
  view.setUint32(ZERO_PAGE.alternativeMemoryKb, extendedKb, true);
  page[ZERO_PAGE.e820Entries] = map.length;
  page.set(concat(...map.flatMap(({ base, size, type }) => [u64(base, size), u32(type)])), ZERO_PAGE.e820Table);
  return page;
}
