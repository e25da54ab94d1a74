/**
 * The software TLB. Each vCPU has one table for each address-space slot and each set of rights, so that a look-up needs
 * no tag beside the page number: switching rights or address space switches tables.
 *
 * An entry is 32 bytes: i64 page address that may be read, i64 that may be written, i64 that may be executed (an address
 * with low bits set never matches), i32 what to add to the low half of a linear address to get the host address.
 *
 * INVLPG of an address in a large page forgets all of that page, whose entries may be anywhere in a table. Two maps of bits
 * behind the tables tell where large pages may have been entered since everything was flushed: hashed by 4 MiB, and by
 * 1 GiB for pages of that size.
 */
import type { Builder } from '../ir/builder.ts';
import type { Value, Variable } from '../ir/node.ts';
import { readField, writeField } from '../isa/fields.ts';
import { type Helper, routine } from '../isa/helpers.ts';
import { CR4 } from '../isa/state.ts';

export const TLB_ENTRY = { read: 0, write: 8, execute: 16, addend: 24, size: 32 } as const;

/** Entries of one table. */
export const TLB_ENTRIES = 2048;
export const TLB_BYTES = TLB_ENTRIES * TLB_ENTRY.size;
export const TLB_MASK = TLB_BYTES - TLB_ENTRY.size;

/** Rights that a table stands for: a table for each, and one that is never filled. */
export const TLB_RIGHTS = {
  user: 0,
  supervisor: 1,
  /** Supervisor with SMAP in force (EFLAGS.AC clear). */
  supervisorSmap: 2,
} as const;
export const RIGHTS_COUNT = 3;

/** Address spaces (PCIDs) with tables of their own at a time. */
export const TLB_SPACES = 8;

/** Places of the maps of large pages, in bytes from the first table, and bytes of each. */
const LARGE_MAP_BYTES = 8192;
export const TLB_TABLES_BYTES = (TLB_SPACES * RIGHTS_COUNT + 1) * TLB_BYTES;
const LARGE_MAPS = { large: TLB_TABLES_BYTES, huge: TLB_TABLES_BYTES + LARGE_MAP_BYTES } as const;
/** Bits of an address that lie inside the unit of a map. */
const LARGE_SHIFT = { large: 22, huge: 30 } as const;
type LargeMap = keyof typeof LARGE_MAPS;

/** Bytes of all tables of a vCPU: the last stays empty, for modes in which every access must be looked at. */
export const TLB_AREA_BYTES = TLB_TABLES_BYTES + 2 * LARGE_MAP_BYTES;

/** Byte offset of a table in a vCPU's area. */
export function tlbTable(space: number, rights: number): number {
  return (space * RIGHTS_COUNT + rights) * TLB_BYTES;
}
export const EMPTY_TABLE = TLB_SPACES * RIGHTS_COUNT * TLB_BYTES;

/** Byte that fills an empty table: all-ones entries match no page. */
export const TLB_INVALID = 0xff;
/** No page address: its low bits are set. */
export const TLB_INVALID_PAGE = -1n;

/** Host address of the byte of a map that stands for an address, and the bit in it. */
function largeBit(b: Builder, cpu: Value, map: LargeMap, address: Value): { byte: Value; bit: Value } {
  const unit = b.shrU(address, b.i64(LARGE_SHIFT[map]));
  const hash = b.wrap(b.xor(unit, b.shrU(unit, b.i64(16))));
  const index = b.and(b.shrU(hash, b.i32(3)), b.i32(LARGE_MAP_BYTES - 1));
  const byte = b.add(b.add(readField(b, cpu, 'tlbArea'), b.i32(LARGE_MAPS[map])), index);
  return { byte, bit: b.shl(b.i32(1), b.and(hash, b.i32(7))) };
}

/** Notes that a page larger than 4 KiB was entered. */
export function noteLargePage(b: Builder, cpu: Value, map: LargeMap, address: Value): void {
  const { byte, bit } = largeBit(b, cpu, map, address);
  b.storeHost('i32.store8', byte, b.or(b.loadHost('i32.load8_u', byte), bit));
}

/** Not 0 (i32) where a large page may have been entered at an address. */
function mayBeLarge(b: Builder, cpu: Value, map: LargeMap, address: Value): Value {
  const { byte, bit } = largeBit(b, cpu, map, address);
  return b.and(b.loadHost('i32.load8_u', byte), bit);
}

/** Notes that the table at a host address may hold entries. */
export function noteTableUsed(b: Builder, cpu: Value, table: Value): void {
  const number = b.shrU(b.sub(table, readField(b, cpu, 'tlbArea')), b.i32(Math.log2(TLB_BYTES)));
  writeField(b, cpu, 'tlbUsed', b.or(readField(b, cpu, 'tlbUsed'), b.shl(b.i32(1), number)));
}

/** The table for the processor's own accesses in IA-32e mode: a supervisor's, to whom SMAP applies whatever EFLAGS.AC says. */
export function systemTable(b: Builder, cpu: Value): Value {
  const smap = b.and(b.wrap(readField(b, cpu, 'cr4')), b.i32(CR4.smap));
  const supervisor = b.i32(TLB_RIGHTS.supervisor * TLB_BYTES);
  const offset = b.select(smap, b.i32(TLB_RIGHTS.supervisorSmap * TLB_BYTES), supervisor);
  return b.add(readField(b, cpu, 'tlbSpace'), offset);
}

const TAGS = [TLB_ENTRY.read, TLB_ENTRY.write, TLB_ENTRY.execute] as const;

/** Empties the entry at a host address where it shows a page, or one beside it in the same 2^`shift` bytes. */
function forgetEntry(b: Builder, entry: Value, page: Value, shift: Value): void {
  const same = (tag: number) => b.eqz(b.shrU(b.xor(b.loadHost('i64.load', entry, tag), page), shift));
  b.if(b.or(same(TLB_ENTRY.read), same(TLB_ENTRY.execute)), () => {
    for (const tag of TAGS) b.storeHost('i64.store', entry, b.i64(-1), tag);
  });
}

/** Runs `visit` for the host address of every table that may hold entries. */
function eachUsedTable(b: Builder, cpu: Value, visit: (table: Value) => void): void {
  const left = b.variable('i32', readField(b, cpu, 'tlbUsed'));
  b.block((end) => {
    b.loop((again) => {
      b.branchIf(end, b.eqz(b.get(left)));
      const offset = b.shl(b.ctz(b.get(left)), b.i32(Math.log2(TLB_BYTES)));
      visit(b.add(readField(b, cpu, 'tlbArea'), offset));
      b.set(left, b.and(b.get(left), b.sub(b.get(left), b.i32(1))));
      b.branch(again);
    });
  });
}

/** Runs `visit` for the host address of every entry of a table. */
function eachEntry(b: Builder, table: Value, visit: (at: Variable) => void): void {
  const at = b.variable('i32', table);
  const end = b.variable('i32', b.add(table, b.i32(TLB_BYTES)));
  b.loop((again) => {
    visit(at);
    b.set(at, b.add(b.get(at), b.i32(TLB_ENTRY.size)));
    b.branchIf(again, b.ltU(b.get(at), b.get(end)));
  });
}

/** Forgets one page, and where that may be part of a large one all of it, in every table. (cpu, page address) */
const invalidatePage = routine('tlbInvalidatePage', ['i64'], undefined, (b, cpu, page) => {
  const huge = mayBeLarge(b, cpu, 'huge', page);
  const large = mayBeLarge(b, cpu, 'large', page);
  const shift = b.variable('i64', b.select(huge, b.i64(LARGE_SHIFT.huge), b.i64(LARGE_SHIFT.large)));
  b.if(
    b.or(huge, large),
    () => eachUsedTable(b, cpu, (table) => eachEntry(b, table, (at) => forgetEntry(b, b.get(at), page, b.get(shift)))),
    () => {
      const slot = b.and(b.wrap(b.shrU(page, b.i64(7))), b.i32(TLB_MASK));
      eachUsedTable(b, cpu, (table) => forgetEntry(b, b.add(table, slot), page, b.i64(12)));
    },
  );
});

/** Takes back write grants for a frame, or with `all` every grant, in every table. (cpu, host page address, all) */
const revokeFrame = routine('tlbRevokeFrame', ['i32', 'i32'], undefined, (b, cpu, host, all) => {
  const visit = (at: Variable) => {
    const shows = (tag: number) => {
      const page = b.loadHost('i64.load', b.get(at), tag);
      return b.eq(b.add(b.wrap(page), b.loadHost('i32.load', b.get(at), TLB_ENTRY.addend)), host);
    };
    b.if(shows(TLB_ENTRY.write), () => b.storeHost('i64.store', b.get(at), b.i64(-1), TLB_ENTRY.write));
    b.if(b.and(all, b.or(shows(TLB_ENTRY.read), shows(TLB_ENTRY.execute))), () => {
      b.storeHost('i64.store', b.get(at), b.i64(-1), TLB_ENTRY.read);
      b.storeHost('i64.store', b.get(at), b.i64(-1), TLB_ENTRY.execute);
    });
  };
  eachUsedTable(b, cpu, (table) => eachEntry(b, table, visit));
});

/** Takes back every grant, in every table. (cpu) */
const revokeAll = routine('tlbRevokeAll', [], undefined, (b, cpu) => {
  eachUsedTable(b, cpu, (table) => b.fillHost(table, b.i32(TLB_INVALID), b.i32(TLB_BYTES)));
});

/** Empties the tables of an address space that may hold entries. (cpu, first table) */
const clearSpace = routine('tlbClearSpace', ['i32'], undefined, (b, cpu, first) => {
  const area = readField(b, cpu, 'tlbArea');
  const number = b.shrU(b.sub(first, area), b.i32(Math.log2(TLB_BYTES)));
  const used = b.variable('i32', readField(b, cpu, 'tlbUsed'));
  for (let rights = 0; rights < RIGHTS_COUNT; rights++) {
    b.if(b.and(b.shrU(b.get(used), b.add(number, b.i32(rights))), b.i32(1)), () => {
      b.fillHost(b.add(first, b.i32(rights * TLB_BYTES)), b.i32(TLB_INVALID), b.i32(TLB_BYTES));
    });
  }
  const bits = b.shl(b.i32((1 << RIGHTS_COUNT) - 1), number);
  writeField(b, cpu, 'tlbUsed', b.and(b.get(used), b.not(bits)));
});

/** Forgets where large pages were: to be called once every table is empty. (cpu) */
const forgetLarge = routine('tlbForgetLarge', [], undefined, (b, cpu) => {
  const maps = b.add(readField(b, cpu, 'tlbArea'), b.i32(LARGE_MAPS.large));
  b.fillHost(maps, b.i32(0), b.i32(2 * LARGE_MAP_BYTES));
});

export const tlbRoutines: readonly Helper[] = [invalidatePage, revokeFrame, revokeAll, clearSpace, forgetLarge];

if (TLB_SPACES * RIGHTS_COUNT > 32) throw new RangeError('`tlbUsed` has no bit for every table');
