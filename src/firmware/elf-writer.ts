/** Writes minimal ELF executables: for tests, and for tools that make small guest programs. */
import { alignUp, ascii, concat, u8, u16, u32, u64 } from './bytes.ts';

export interface ElfProgram {
  readonly wordSize: 4 | 8;
  readonly entry: number;
  /** 3 for 386, 62 for x86-64; by default what fits the word size. */
  readonly machine?: number;
  /** 2 (executable) by default. */
  readonly type?: number;
  readonly segments: readonly {
    readonly physicalAddress: number;
    /** The same as the physical address by default. */
    readonly virtualAddress?: number;
    readonly bytes: Uint8Array;
    /** The length of `bytes` by default. */
    readonly memorySize?: number;
    /** 1 (loadable) by default, 4 for notes. */
    readonly type?: number;
  }[];
}

/** One note: the owner's name gets its NUL, both parts are filled up to 4 bytes. */
export function elfNote(owner: string, type: number, content: Uint8Array): Uint8Array {
  const name = ascii(`${owner}\0`, alignUp(owner.length + 1, 4), 0);
  const padding = new Uint8Array(alignUp(content.length, 4) - content.length);
  return concat(u32(owner.length + 1, content.length, type), name, content, padding);
}

/** The whole file: header, program headers, then the segments' bytes in order. */
export function writeElf(program: ElfProgram): Uint8Array {
  const wide = program.wordSize === 8;
  const word = wide ? u64 : u32;
  const headerSize = wide ? 64 : 52;
  const entrySize = wide ? 56 : 32;
  const machine = program.machine ?? (wide ? 62 : 3);
  const header = concat(
    u8(0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    u16(program.type ?? 2, machine),
    u32(1),
    word(program.entry, headerSize, 0),
    u32(0),
    u16(headerSize, entrySize, program.segments.length, 0, 0, 0),
  );
  let offset = headerSize + entrySize * program.segments.length;
  const table = program.segments.map(({ physicalAddress, virtualAddress, bytes, memorySize, type }) => {
    const fields = [
      offset,
      virtualAddress ?? physicalAddress,
      physicalAddress,
      bytes.length,
      memorySize ?? bytes.length,
    ];
    offset += bytes.length;
    const readWriteExecute = u32(7);
    return wide
      ? concat(u32(type ?? 1), readWriteExecute, word(...fields, 4))
      : concat(u32(type ?? 1), word(...fields), readWriteExecute, word(4));
  });
  return concat(header, ...table, ...program.segments.map(({ bytes }) => bytes));
}
