/** Just enough of ELF (System V ABI, chapters 4 and 5) to load a kernel: header, program headers, notes. */
import { VirtsError } from '../base/errors.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { alignUp } from './bytes.ts';
import type { Area } from './layout.ts';
import { checkPlacement, clear, put } from './loader.ts';

export interface ElfSegment {
  readonly type: number;
  readonly virtualAddress: number;
  readonly physicalAddress: number;
  /** The bytes that the file has for it. */
  readonly bytes: Uint8Array;
  /** Bytes in memory, at least those in the file. */
  readonly memorySize: number;
  readonly alignment: number;
}

export interface ElfImage {
  readonly wordSize: 4 | 8;
  /** As the header says it, usually virtual. */
  readonly entry: number;
  readonly segments: readonly ElfSegment[];
}

const PT_LOAD = 1;
const PT_NOTE = 4;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_386 = 3;
const EM_X86_64 = 62;

const MACHINES: Readonly<Record<number, string>> = {
  2: 'SPARC',
  8: 'MIPS',
  20: 'PowerPC',
  21: '64-bit PowerPC',
  22: 'IBM Z',
  40: '32-bit ARM',
  43: '64-bit SPARC',
  50: 'Itanium',
  183: '64-bit ARM',
  243: 'RISC-V',
  258: 'LoongArch',
};

export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/** Throws 'bad-input' if the file is truncated, damaged, no executable, or built for something other than x86. */
export function parseElf(bytes: Uint8Array): ElfImage {
  const wordSize = bytes[4] === 2 ? 8 : 4;
  const headerSize = wordSize === 8 ? 64 : 52;
  if (bytes.length < headerSize) throw truncated(bytes.length, headerSize);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  checkIdentification(bytes, view);
  const word = (at: number) => (wordSize === 8 ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true));
  const tableAt = word(wordSize === 8 ? 32 : 28);
  const entrySize = view.getUint16(wordSize === 8 ? 54 : 42, true);
  const count = view.getUint16(wordSize === 8 ? 56 : 44, true);
  if (count > 0 && entrySize < (wordSize === 8 ? 56 : 32)) {
    throw new VirtsError('bad-input', 'The kernel is damaged: its ELF program header entries are too small.', {
      entrySize,
    });
  }
  if (tableAt + count * entrySize > bytes.length) throw truncated(bytes.length, tableAt + count * entrySize);
  const segments = Array.from({ length: count }, (_, i) =>
    parseSegment(bytes, view, wordSize, tableAt + i * entrySize),
  );
  return { wordSize, entry: word(24), segments };
}

function checkIdentification(bytes: Uint8Array, view: DataView): void {
  const littleEndian = bytes[5] === 1;
  const machine = view.getUint16(18, littleEndian);
  if (!littleEndian || (machine !== EM_386 && machine !== EM_X86_64)) {
    const name = MACHINES[machine] ?? 'another processor';
    throw new VirtsError('bad-input', `The kernel is built for ${name}; Virts runs x86 kernels.`, { machine });
  }
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    const what = type === 1 ? 'an object file' : type === 4 ? 'a core dump' : 'not an executable';
    throw new VirtsError('bad-input', `The file is no kernel: it is an ELF file, but ${what}.`, { type });
  }
}

function parseSegment(bytes: Uint8Array, view: DataView, wordSize: 4 | 8, at: number): ElfSegment {
  /** The fields after the type, in file order but for p_flags, which ELF64 moved forward. */
  const field = (i: number) =>
    wordSize === 8 ? Number(view.getBigUint64(at + 8 + i * 8, true)) : view.getUint32(at + 4 + i * 4, true);
  const type = view.getUint32(at, true);
  const [offset, virtualAddress, physicalAddress, fileSize, memorySize] = [0, 1, 2, 3, 4].map(field);
  const alignment = field(wordSize === 8 ? 5 : 6);
  const used = type === PT_LOAD || type === PT_NOTE;
  if (used && offset + fileSize > bytes.length) throw truncated(bytes.length, offset + fileSize);
  if (type === PT_LOAD && fileSize > memorySize) {
    throw new VirtsError('bad-input', 'The kernel is damaged: an ELF segment is larger in the file than in memory.', {
      fileSize,
      memorySize,
    });
  }
  const content = used ? bytes.subarray(offset, offset + fileSize) : new Uint8Array();
  return { type, virtualAddress, physicalAddress, bytes: content, memorySize, alignment };
}

function truncated(length: number, expected: number): VirtsError {
  return new VirtsError(
    'bad-input',
    `The kernel is truncated: the file has ${length} bytes, but its ELF headers say at least ${expected}.`,
    { length, expected },
  );
}

/** The content of the first note with this owner and type. */
export function findNote(image: ElfImage, owner: string, type: number): Uint8Array | undefined {
  for (const segment of image.segments) {
    if (segment.type !== PT_NOTE) continue;
    const { bytes } = segment;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const alignment = segment.alignment === 8 ? 8 : 4;
    for (let at = 0; at + 12 <= bytes.length; ) {
      const nameSize = view.getUint32(at, true);
      const contentAt = alignUp(at + 12 + nameSize, alignment);
      const contentEnd = contentAt + view.getUint32(at + 4, true);
      if (contentEnd > bytes.length) break;
      // The size of a name counts its NUL.
      const name = String.fromCharCode(...bytes.subarray(at + 12, at + 12 + Math.min(nameSize, 64)));
      if (name === `${owner}\0` && view.getUint32(at + 8, true) === type) return bytes.subarray(contentAt, contentEnd);
      at = alignUp(contentEnd, alignment);
    }
  }
  return undefined;
}

/**
 * Copies the loadable segments to their physical addresses and clears the rest of each; returns the range from the
 * lowest to the highest byte. Throws 'bad-input' or 'no-space' if one does not fit.
 */
export function loadSegments(memory: GuestMemory, image: ElfImage): Area {
  const loadable = image.segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0);
  if (loadable.length === 0) {
    throw new VirtsError('bad-input', 'The file is no kernel: it is an ELF file without anything to load.');
  }
  for (const { physicalAddress, memorySize } of loadable) checkPlacement(memory, physicalAddress, memorySize);
  for (const { physicalAddress, bytes, memorySize } of loadable) {
    put(memory, physicalAddress, bytes, 'the kernel');
    clear(memory, physicalAddress + bytes.length, memorySize - bytes.length);
  }
  const base = Math.min(...loadable.map((segment) => segment.physicalAddress));
  const end = Math.max(...loadable.map((segment) => segment.physicalAddress + segment.memorySize));
  return { base, size: end - base };
}

/** The entry point as a physical address: translated if it lies in a segment's virtual range, else as it stands. */
export function physicalEntry(image: ElfImage): number {
  const inside = image.segments.find(
    ({ type, virtualAddress, memorySize }) =>
      type === PT_LOAD && image.entry >= virtualAddress && image.entry < virtualAddress + memorySize,
  );
  return inside ? image.entry - inside.virtualAddress + inside.physicalAddress : image.entry;
}
