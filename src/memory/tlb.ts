/**
 * The software TLB. Each vCPU has one table for each address-space slot and each set of rights, so that a look-up needs
 * no tag beside the page number: switching rights or address space switches tables.
 *
 * An entry is 32 bytes: i64 page address that may be read, i64 that may be written, i64 that may be executed (an address
 * with low bits set never matches), i32 what to add to the low half of a linear address to get the host address; the i32
 * after that in a table's first entry is `TLB_HAS_LARGE` once a page larger than 4 KiB was entered.
 */
import type { Value } from '../ir/node.ts';
import { type Helper, routine } from '../isa/helpers.ts';
export const TLB_ENTRY = { read: 0, write: 8, execute: 16, addend: 24, mark: 28, size: 32 } as const;

export const TLB_HAS_LARGE = 1;

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

/** Bytes of all tables of a vCPU: the last table stays empty, for modes in which every access must be looked at. */
export const TLB_AREA_BYTES = (TLB_SPACES * RIGHTS_COUNT + 1) * TLB_BYTES;

/** Byte offset of a table in a vCPU's area. */
export function tlbTable(space: number, rights: number): number {
  return (space * RIGHTS_COUNT + rights) * TLB_BYTES;
}
export const EMPTY_TABLE = TLB_SPACES * RIGHTS_COUNT * TLB_BYTES;

/** Byte that fills an empty table: all-ones entries match no page. */
export const TLB_INVALID = 0xff;
/** No page address: its low bits are set. */
export const TLB_INVALID_PAGE = -1n;

/** Forgets one page, or all that share its large page. (cpu, table, page address) */
const invalidatePage = routine('tlbInvalidatePage', ['i32', 'i64'], undefined, (b, _cpu, table, page) => {
  const clear = (entry: Value) => {
    for (const tag of [TLB_ENTRY.read, TLB_ENTRY.write, TLB_ENTRY.execute])
      b.storeHost('i64.store', entry, b.i64(-1), tag);
  };
  b.if(b.ne(b.loadHost('i32.load', table, TLB_ENTRY.mark), b.i32(TLB_HAS_LARGE)), () => {
    clear(b.add(table, b.and(b.wrap(b.shrU(page, b.i64(7))), b.i32(TLB_MASK))));
    b.return();
  });
  // Which entries belong to the large page is not recorded; the largest has 1 GiB.
  const at = b.variable('i32', table);
  b.loop((again) => {
    const same = (tag: number) => b.eqz(b.shrU(b.xor(b.loadHost('i64.load', b.get(at), tag), page), b.i64(30)));
    b.if(b.or(same(TLB_ENTRY.read), same(TLB_ENTRY.execute)), () => clear(b.get(at)));
    b.set(at, b.add(b.get(at), b.i32(TLB_ENTRY.size)));
    b.branchIf(again, b.ltU(b.get(at), b.add(table, b.i32(TLB_BYTES))));
  });
});

/** Takes back write grants for a frame, or with `all` every grant. (cpu, table, host page address, all) */
const revokeFrame = routine('tlbRevokeFrame', ['i32', 'i32', 'i32'], undefined, (b, _cpu, table, host, all) => {
  const at = b.variable('i32', table);
  b.loop((again) => {
    const shows = (tag: number) => {
      const page = b.loadHost('i64.load', b.get(at), tag);
      return b.eq(b.add(b.wrap(page), b.loadHost('i32.load', b.get(at), TLB_ENTRY.addend)), host);
    };
    b.if(shows(TLB_ENTRY.write), () => b.storeHost('i64.store', b.get(at), b.i64(-1), TLB_ENTRY.write));
    b.if(b.and(all, b.or(shows(TLB_ENTRY.read), shows(TLB_ENTRY.execute))), () => {
      b.storeHost('i64.store', b.get(at), b.i64(-1), TLB_ENTRY.read);
      b.storeHost('i64.store', b.get(at), b.i64(-1), TLB_ENTRY.execute);
    });
    b.set(at, b.add(b.get(at), b.i32(TLB_ENTRY.size)));
    b.branchIf(again, b.ltU(b.get(at), b.add(table, b.i32(TLB_BYTES))));
  });
});

/** Empties a table. (cpu, table) */
const clear = routine('tlbClear', ['i32'], undefined, (b, _cpu, table) => {
  b.fillHost(table, b.i32(TLB_INVALID), b.i32(TLB_BYTES));
});

export const tlbRoutines: readonly Helper[] = [invalidatePage, revokeFrame, clear];
