/** Loads an ELF kernel by the x86/HVM direct boot ABI, "PVH" (Xen documentation, misc/pvh and start_info.h). */
import { VirtsError } from '../base/errors.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { concat, u32, u64 } from './bytes.ts';
import { type ElfImage, findNote, loadSegments, parseElf } from './elf.ts';
import { entryState } from './entry.ts';
import { type Area, LAYOUT } from './layout.ts';
import {
  type BootRequest,
  encodeCommandLine,
  type LoadedKernel,
  putArea,
  putEntryTables,
  putInitrdHigh,
  putModuleCommandLine,
} from './loader.ts';
import { memoryMap } from './memory-map.ts';

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336ec578;
const START_INFO_SIZE = 56;
const MODULE_SIZE = 32;

/** The physical address of the 32-bit entry point, if the kernel has one for PVH. */
export function pvhEntry(image: ElfImage): number | undefined {
  const note = findNote(image, 'Xen', XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined || note.length < 4) return undefined;
  return new DataView(note.buffer, note.byteOffset, note.length).getUint32(0, true);
}

/** Throws 'bad-input' for a bad image, 'no-space' if kernel or initrd does not fit, 'usage' for a bad command line. */
export function loadPvh(memory: GuestMemory, request: BootRequest): LoadedKernel {
  const image = parseElf(request.kernel);
  const entry = pvhEntry(image);
  if (entry === undefined) throw new VirtsError('bad-input', 'The kernel has no PVH entry point.');
  const commandLine = encodeCommandLine(request.commandLine, LAYOUT.commandLine.size - 1);
  const kernel = loadSegments(memory, image);
  putArea(memory, LAYOUT.commandLine, commandLine, 'the kernel command line');
  putEntryTables(memory, 'protected');
  const initrd = request.initrd && putInitrdHigh(memory, request.initrd, kernel, memory.size);
  putArea(memory, LAYOUT.bootInformation, startInfo(memory, request, initrd), 'the PVH start info');
  return {
    format: 'pvh',
    entry: entryState('protected', entry, { rbx: LAYOUT.bootInformation.base }),
    kernel,
    ...(initrd && { initrd }),
  };
}

/** `hvm_start_info` version 1, then the module list, then the memory map. */
function startInfo(memory: GuestMemory, request: BootRequest, initrd: Area | undefined): Uint8Array {
  const moduleCommandLine = putModuleCommandLine(memory, request);
  const modules = initrd ? u64(initrd.base, initrd.size, moduleCommandLine, 0) : new Uint8Array();
  const map = memoryMap(memory.size);
  const modulesAt = LAYOUT.bootInformation.base + START_INFO_SIZE;
  const mapAt = modulesAt + modules.length;
  return concat(
    u32(START_MAGIC, 1, 0, modules.length / MODULE_SIZE),
    u64(modules.length > 0 ? modulesAt : 0, LAYOUT.commandLine.base, request.rsdp, mapAt),
    u32(map.length, 0),
    modules,
    ...map.map(({ base, size, type }) => concat(u64(base, size), u32(type, 0))),
  );
}
