/** Loads a kernel by the Multiboot Specification version 0.6.96 ("multiboot 1"). */
import { VirtsError } from '../base/errors.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { ascii, concat, u32, u64 } from './bytes.ts';
import { isElf, loadSegments, parseElf, physicalEntry } from './elf.ts';
import { entryState } from './entry.ts';
import { type Area, HIGH_MEMORY, LAYOUT } from './layout.ts';
import {
  type BootRequest,
  checkPlacement,
  clear,
  encodeCommandLine,
  type LoadedKernel,
  put,
  putArea,
  putEntryTables,
  putInitrdAfter,
  putModuleCommandLine,
} from './loader.ts';
import { memoryMap } from './memory-map.ts';

const HEADER_MAGIC = 0x1badb002;
const LOADER_MAGIC = 0x2badb002;
/** The header lies wholly in this many first bytes of the file. */
const SEARCH_LIMIT = 8192;

/** Flags that a loader must refuse if it does not know them; 0–2 are page alignment, memory and video mode. */
const UNKNOWN_REQUIREMENTS = 0xfff8;
const ADDRESS_FIELDS = 1 << 16;

export interface MultibootHeader {
  /** Offset in the file. */
  readonly at: number;
  readonly flags: number;
  /** For a file that is not ELF, or wants not to be taken for it. Physical addresses; 0 as an end means "not given". */
  readonly addresses?: {
    readonly header: number;
    readonly load: number;
    readonly loadEnd: number;
    readonly bssEnd: number;
    readonly entry: number;
  };
}

/** Finds the header: 4-byte aligned, in the first 8 KiB, with a checksum that is right. */
export function findMultibootHeader(bytes: Uint8Array): MultibootHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SEARCH_LIMIT));
  for (let at = 0; at + 12 <= view.byteLength; at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const flags = view.getUint32(at + 4, true);
    if ((HEADER_MAGIC + flags + view.getUint32(at + 8, true)) % 2 ** 32 !== 0) continue;
    if ((flags & ADDRESS_FIELDS) === 0) return { at, flags };
    if (at + 32 > view.byteLength) continue;
    const [header, load, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((offset) =>
      view.getUint32(at + offset, true),
    );
    return { at, flags, addresses: { header, load, loadEnd, bssEnd, entry } };
  }
  return undefined;
}

/** Throws 'bad-input' for a bad image, 'no-space' if kernel or initrd does not fit, 'usage' for a bad command line. */
export function loadMultiboot(memory: GuestMemory, request: BootRequest): LoadedKernel {
  const header = findMultibootHeader(request.kernel);
  if (header === undefined) throw new VirtsError('bad-input', 'The kernel has no multiboot header.');
  // A wish for a video mode is let pass: nearly all who state one go on in text mode or over a serial port.
  if ((header.flags & UNKNOWN_REQUIREMENTS) !== 0) {
    throw new VirtsError('unsupported', 'The kernel asks for multiboot features that Virts does not have.', {
      flags: header.flags,
    });
  }
  const commandLine = encodeCommandLine(request.commandLine, LAYOUT.commandLine.size - 1);
  const { kernel, entry } = header.addresses
    ? loadByAddressFields(memory, request.kernel, header.at, header.addresses)
    : loadElf(memory, request.kernel);
  putArea(memory, LAYOUT.commandLine, commandLine, 'the kernel command line');
  putEntryTables(memory, 'protected');
  // Right after the kernel, for kernels that map only a little memory at first.
  const initrd = request.initrd && putInitrdAfter(memory, request.initrd, kernel.base + kernel.size);
  const moduleCommandLine = putModuleCommandLine(memory, request);
  putArea(memory, LAYOUT.bootInformation, information(memory, initrd, moduleCommandLine), 'the multiboot information');
  return {
    format: 'multiboot',
    entry: entryState('protected', entry, { rax: LOADER_MAGIC, rbx: LAYOUT.bootInformation.base }),
    kernel,
    ...(initrd && { initrd }),
  };
}

interface LoadedImage {
  readonly kernel: Area;
  readonly entry: number;
}

function loadElf(memory: GuestMemory, bytes: Uint8Array): LoadedImage {
  if (!isElf(bytes)) {
    throw new VirtsError('bad-input', 'The multiboot kernel is neither ELF nor says where it wants to be loaded.');
  }
  const image = parseElf(bytes);
  const entry = physicalEntry(image);
  if (entry >= 2 ** 32) {
    throw new VirtsError('bad-input', 'The multiboot kernel has its entry point above 4 GiB, out of 32-bit reach.', {
      entry,
    });
  }
  return { kernel: loadSegments(memory, image), entry };
}

function loadByAddressFields(
  memory: GuestMemory,
  bytes: Uint8Array,
  headerAt: number,
  addresses: NonNullable<MultibootHeader['addresses']>,
): LoadedImage {
  const { load, entry } = addresses;
  const start = headerAt - (addresses.header - load);
  const loadEnd = addresses.loadEnd || load + bytes.length - start;
  const end = Math.max(addresses.bssEnd, loadEnd);
  if (addresses.header < load || start < 0 || loadEnd < load || entry < load || entry >= end) {
    throw new VirtsError(
      'bad-input',
      'The kernel is damaged: the addresses in its multiboot header contradict each other.',
      {
        ...addresses,
      },
    );
  }
  const fileEnd = start + loadEnd - load;
  if (fileEnd > bytes.length) {
    throw new VirtsError(
      'bad-input',
      `The kernel is truncated: the file has ${bytes.length} bytes, but its multiboot header says ${fileEnd}.`,
      { length: bytes.length, expected: fileEnd },
    );
  }
  checkPlacement(memory, load, end - load);
  put(memory, load, bytes.subarray(start, fileEnd), 'the kernel');
  clear(memory, loadEnd, end - loadEnd);
  return { kernel: { base: load, size: end - load }, entry };
}

const INFO_MEMORY = 1 << 0;
const INFO_COMMAND_LINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MEMORY_MAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;
/** Bytes of the information structure with all its fields. */
const INFORMATION_SIZE = 116;

/** The information structure, then the module list, the memory map and the loader's name. */
function information(memory: GuestMemory, initrd: Area | undefined, moduleCommandLine: number): Uint8Array {
  const modules = initrd ? u32(initrd.base, initrd.base + initrd.size, moduleCommandLine, 0) : new Uint8Array();
  const map = concat(
    // The size field does not count itself.
    ...memoryMap(memory.size).map(({ base, size, type }) => concat(u32(20), u64(base, size), u32(type))),
  );
  const modulesAt = LAYOUT.bootInformation.base + INFORMATION_SIZE;
  const mapAt = modulesAt + modules.length;
  const nameAt = mapAt + map.length;
  const flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MEMORY_MAP | INFO_LOADER_NAME;
  const fields = u32(
    ...[flags | (initrd ? INFO_MODULES : 0), LAYOUT.ebda.base >> 10, (memory.size - HIGH_MEMORY) >>> 10, 0],
    ...[LAYOUT.commandLine.base, initrd ? 1 : 0, modulesAt, 0, 0, 0, 0],
    ...[map.length, mapAt, 0, 0, 0, nameAt],
  );
  const padding = new Uint8Array(INFORMATION_SIZE - fields.length);
  return concat(fields, padding, modules, map, ascii('Virts\0'));
}
