/** Tells kernel formats apart and loads whichever it is. */
import { VirtsError } from '../base/errors.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { loadBzImage } from './bzimage.ts';
import { hasSetupHeader, parseBzImage } from './bzimage-header.ts';
import { isElf, parseElf } from './elf.ts';
import type { BootRequest, KernelFormat, LoadedKernel } from './loader.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';
import { loadPvh, pvhEntry } from './pvh.ts';

const MULTIBOOT2_MAGIC = 0xe85250d6;
const MULTIBOOT2_SEARCH_LIMIT = 32768;

/** Files that people take for kernels: bytes at an offset, and the sentence that helps. */
const OTHER_FILES: readonly (readonly [at: number, magic: string, sentence: string])[] = [
  [0x38, 'ARM\x64', 'The kernel is built for 64-bit ARM; Virts runs x86 kernels.'],
  [0x24, '\x18\x28\x6f\x01', 'The kernel is built for 32-bit ARM; Virts runs x86 kernels.'],
  [0x38, 'RSC\x05', 'The kernel is built for RISC-V; Virts runs x86 kernels.'],
  [0, '\x1f\x8b', 'The file is compressed with gzip; unpack it with gunzip first.'],
  [0, '\xfd7zXZ\0', 'The file is compressed with xz; unpack it with unxz first.'],
  [0, '\x28\xb5\x2f\xfd', 'The file is compressed with zstd; unpack it with unzstd first.'],
  [0, '!<arch>\n', 'The file is no kernel: it is a package or library archive; unpack it and use the kernel inside.'],
  [0, '07070', 'The file is no kernel: it is a cpio archive, perhaps the initrd.'],
  [0x8001, 'CD001', 'The file is no kernel: it is a disc image.'],
];

/**
 * The format by which to boot a file. An ELF kernel that offers several is booted by PVH, which tells it where the ACPI
 * tables are. Throws 'bad-input' for a file that is no kernel, is truncated, or is built for another processor.
 */
export function detectKernel(bytes: Uint8Array): KernelFormat {
  if (bytes.length === 0) throw new VirtsError('bad-input', 'The file is no kernel: it is empty.');
  if (hasSetupHeader(bytes)) {
    parseBzImage(bytes);
    return 'bzimage';
  }
  const elf = isElf(bytes);
  if (elf && pvhEntry(parseElf(bytes)) !== undefined) return 'pvh';
  const multiboot = findMultibootHeader(bytes);
  if (multiboot?.addresses || (multiboot && elf)) return 'multiboot';
  if (hasMultiboot2Header(bytes)) return 'multiboot2';
  throw notAKernel(bytes);
}

function hasMultiboot2Header(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MULTIBOOT2_SEARCH_LIMIT));
  for (let at = 0; at + 16 <= view.byteLength; at += 8) {
    if (view.getUint32(at, true) !== MULTIBOOT2_MAGIC) continue;
    const sum = [0, 4, 8, 12].reduce((total, offset) => total + view.getUint32(at + offset, true), 0);
    if (sum % 2 ** 32 === 0) return true;
  }
  return false;
}

function notAKernel(bytes: Uint8Array): VirtsError {
  const context = { length: bytes.length };
  const starts = (at: number, magic: string) => String.fromCharCode(...bytes.subarray(at, at + magic.length)) === magic;
  const known = OTHER_FILES.find(([at, magic]) => starts(at, magic));
  if (known) return new VirtsError('bad-input', known[2], context);
  if (isElf(bytes)) {
    const sentence =
      'The ELF file is no kernel that can boot here: it has neither a PVH entry note nor a multiboot header.';
    return new VirtsError('bad-input', sentence, context);
  }
  if (starts(0, 'MZ') && bytes.length < 0x206) {
    return new VirtsError(
      'bad-input',
      `The kernel image is truncated: the file has only ${bytes.length} bytes.`,
      context,
    );
  }
  if (starts(0, 'MZ')) {
    const sentence =
      'The file is no kernel that can boot here: it is an EFI or Windows program without a Linux header.';
    return new VirtsError('bad-input', sentence, context);
  }
  return new VirtsError(
    'bad-input',
    'The file is no kernel: it is neither a bzImage nor a PVH or multiboot kernel.',
    context,
  );
}

/**
 * Puts a kernel and what it needs into memory, and returns the state in which the boot processor starts.
 *
 * Memory is expected to hold zeroes or the remains of an earlier boot. Throws VirtsError: 'bad-input' and 'unsupported'
 * for the kernel, 'no-space' if memory does not suffice, 'usage' for the command line. After a throw memory may be
 * partly written.
 */
export function loadKernel(memory: GuestMemory, request: BootRequest): LoadedKernel {
  const format = detectKernel(request.kernel);
  switch (format) {
    case 'bzimage':
      return loadBzImage(memory, request);
    case 'pvh':
      return loadPvh(memory, request);
    case 'multiboot':
      return loadMultiboot(memory, request);
    case 'multiboot2':
      throw new VirtsError(
        'unsupported',
        'The kernel speaks only multiboot 2, which Virts does not; build it with a multiboot 1 header or a PVH note.',
      );
  }
}
