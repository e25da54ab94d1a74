/**
 * The page walk, in WebAssembly (SDM vol. 3A chapter 4): no paging, 32-bit with PSE, PAE and 4-level, with protection,
 * NX, SMEP, SMAP, write-protect, reserved bits, accessed and dirty bits.
 *
 * Other vCPUs and walks change entries meanwhile. An entry is read by one access, and accessed and dirty bits are set by a
 * compare-and-exchange with what was read: where it is another now, the walk begins anew (SDM vol. 3A 4.8, 9.1.2.1).
 */
import type { Builder } from '../ir/builder.ts';
import type { Label, Value, Variable } from '../ir/node.ts';
import { MEMORY_ACCESS } from '../isa/access.ts';
import { fieldAt, readField, writeField } from '../isa/fields.ts';
import { type Helper, routine } from '../isa/helpers.ts';
import { CR0, CR4, EFER, EFLAGS, VECTOR } from '../isa/state.ts';
import { PAGE_STATE, STATE_MASK, WRITABLE, WRITABLE_MASK } from './physical-map.ts';
import { noteLargePage, noteTableUsed, systemTable, TLB_ENTRY } from './tlb.ts';

/** Physical address width that CPUID claims. */
export const PHYSICAL_BITS = 40;

const ENTRY = { present: 1n, write: 2n, user: 4n, accessed: 32n, dirty: 64n, large: 128n } as const;
const NX = 1n << 63n;
/** Address bits of an entry. */
const ADDRESS = (1n << BigInt(PHYSICAL_BITS)) - 4096n;
/** The same of a 4-byte entry. */
const ADDRESS_32 = 0xffff_f000n;
/** Bits above the physical address width and below the software-available ones. */
const RESERVED = ((1n << 52n) - 1n) & ~((1n << BigInt(PHYSICAL_BITS)) - 1n);

/** Marks that a walk leaves beside the rights in `exitInfo`: the page has 2 or 4 MiB, or 1 GiB. */
const LARGE = 0x100;
const HUGE = 0x200;

const ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

/** Host address of a paging-structure entry, 0 where it is not in RAM. (cpu, physical, write) */
const entryHost = routine('entryHost', ['i64', 'i32'], 'i32', (b, cpu, physical, write) => {
  const number = b.shrU(physical, b.i64(12));
  b.if(b.geU(number, b.extendU(readField(b, cpu, 'mapPages'))), () => b.return(b.i32(0)));
  const index = b.wrap(number);
  const at = b.variable('i32', b.add(readField(b, cpu, 'mapBase'), b.shl(index, b.i32(2))));
  const entry = b.variable('i32', b.loadHost('i32.load', b.get(at)));
  const offset = b.and(b.wrap(physical), b.i32(4095));
  b.if(
    write,
    () => {
      b.if(b.ne(b.and(b.get(entry), b.i32(WRITABLE_MASK)), b.i32(WRITABLE)), () => {
        b.if(b.eqz(b.call('writePage', cpu, index, offset, b.i32(1))), () => b.return(b.i32(0)));
        b.set(entry, b.loadHost('i32.load', b.get(at)));
      });
    },
    () => {
      b.if(b.ltU(b.and(b.get(entry), b.i32(STATE_MASK)), b.i32(PAGE_STATE.zero)), () => {
        b.if(b.eqz(b.call('fetchPage', cpu, index)), () => b.return(b.i32(0)));
        b.set(entry, b.loadHost('i32.load', b.get(at)));
      });
    },
  );
  b.return(b.or(b.and(b.get(entry), b.i32(-4096)), offset));
});

/** Reads a 4- or 8-byte entry; what is not RAM reads as not present. */
function readEntry(b: Builder, cpu: Value, physical: Value, bytes: 4 | 8): Value {
  const host = b.variable('i32', b.call('entryHost', cpu, physical, b.i32(0)));
  const entry = b.variable('i64', b.i64(0));
  b.if(b.get(host), () => b.set(entry, b.loadOrdered(bytes === 8 ? 'i64.load' : 'i64.load32_u', b.get(host))));
  return b.get(entry);
}

/**
 * Sets bits of an entry that was read, where they are not set yet. (cpu, physical, entry, bits, bytes of an entry) -> 0 where
 * the entry is another by now, and stays as it is
 */
const setEntryBits = routine(
  'setEntryBits',
  ['i64', 'i64', 'i64', 'i32'],
  'i32',
  (b, cpu, physical, entry, bits, bytes) => {
    b.if(b.eq(b.and(entry, bits), bits), () => b.return(b.i32(1)));
    const host = b.variable('i32', b.call('entryHost', cpu, physical, b.i32(1)));
    b.if(b.eqz(b.get(host)), () => b.return(b.i32(1)));
    const exchange = (name: string) => b.eq(b.atomic(name, b.get(host), [entry, b.or(entry, bits)]), entry);
    b.return(
      b.choose(
        b.eq(bytes, b.i32(8)),
        () => exchange('i64.atomic.rmw.cmpxchg'),
        () => exchange('i64.atomic.rmw32.cmpxchg_u'),
      ),
    );
  },
);

const bit = (b: Builder, value: Value, mask: bigint | number) => b.ne(b.and(value, b.i64(mask)), b.i64(0));

/** Raises #PF and leaves the walk with -1. */
const pageFault = routine('pageFault', ['i64', 'i32', 'i32'], 'i64', (b, cpu, linear, flags, cause) => {
  const write = b.select(b.and(flags, b.i32(MEMORY_ACCESS.write)), b.i32(ERROR.write), b.i32(0));
  const isUser = b.and(b.eq(readField(b, cpu, 'cpl'), b.i32(3)), b.eqz(b.and(flags, b.i32(MEMORY_ACCESS.system))));
  const user = b.select(isUser, b.i32(ERROR.user), b.i32(0));
  const nx = b.and(bit(b, readField(b, cpu, 'efer'), EFER.nxe), bit(b, readField(b, cpu, 'cr4'), CR4.pae));
  const reportsFetch = b.or(nx, bit(b, readField(b, cpu, 'cr4'), CR4.smep));
  const isFetch = b.and(b.ne(b.and(flags, b.i32(MEMORY_ACCESS.execute)), b.i32(0)), reportsFetch);
  const fetch = b.select(isFetch, b.i32(ERROR.fetch), b.i32(0));
  writeField(b, cpu, 'faultVector', b.i32(VECTOR.pf));
  writeField(b, cpu, 'faultHasError', b.i32(1));
  writeField(b, cpu, 'faultError', b.or(b.or(cause, write), b.or(user, fetch)));
  writeField(b, cpu, 'faultAddress', linear);
  b.return(b.i64(-1));
});

/** What a walk gathers on its way down. */
interface Walk {
  readonly b: Builder;
  readonly cpu: Value;
  readonly linear: Value;
  readonly flags: Value;
  /** AND of the write and user bits. */
  readonly rights: Variable;
  /** OR of the NX bits. */
  readonly nx: Variable;
  readonly table: Variable;
  readonly entry: Variable;
  readonly at: Variable;
  readonly reserved: Value;
  /** Bytes of an entry. */
  readonly bytes: 4 | 8;
  /** Where the walk begins anew. */
  readonly again: Label;
}

/** Reads the entry for one level and checks it; leaves it in `entry`, its address in `at`. */
function descend(w: Walk, shift: number, indexBits: number, reserved: Value): void {
  const { b, cpu, bytes } = w;
  const index = b.and(b.shrU(w.linear, b.i64(shift)), b.i64((1n << BigInt(indexBits)) - 1n));
  b.set(w.at, b.add(b.get(w.table), b.shl(index, b.i64(bytes === 8 ? 3 : 2))));
  b.set(w.entry, readEntry(b, cpu, b.get(w.at), bytes));
  b.if(b.eqz(bit(b, b.get(w.entry), ENTRY.present)), () => {
    b.return(b.call('pageFault', cpu, w.linear, w.flags, b.i32(0)));
  });
  checkReserved(w, reserved);
  b.set(w.rights, b.and(b.get(w.rights), b.get(w.entry)));
  if (bytes === 8) b.set(w.nx, b.or(b.get(w.nx), b.get(w.entry)));
}

function checkReserved(w: Walk, reserved: Value): void {
  const { b } = w;
  b.if(b.ne(b.and(b.get(w.entry), reserved), b.i64(0)), () => {
    b.return(b.call('pageFault', w.cpu, w.linear, w.flags, b.i32(ERROR.present | ERROR.reserved)));
  });
}

/** Sets bits of the entry just read, or begins anew. */
function mark(w: Walk, bits: Value): void {
  const { b } = w;
  const done = b.call('setEntryBits', w.cpu, b.get(w.at), b.get(w.entry), bits, b.i32(w.bytes));
  b.branchIf(w.again, b.eqz(done));
}

/** Goes to the next table: sets the accessed bit of the entry just read. */
function follow(w: Walk): void {
  const { b } = w;
  mark(w, b.i64(ENTRY.accessed));
  b.set(w.table, b.and(b.get(w.entry), b.i64(w.bytes === 8 ? ADDRESS : ADDRESS_32)));
}

/** Ends the walk at a page of 2^`shift` bytes whose frame address is `frame`. */
function finish(w: Walk, shift: number, frame: Value): void {
  const { b } = w;
  const ok = b.call('pageRights', w.cpu, b.get(w.rights), b.get(w.nx), w.flags);
  b.if(b.eqz(ok), () => b.return(b.call('pageFault', w.cpu, w.linear, w.flags, b.i32(ERROR.present))));
  const write = b.ne(b.and(w.flags, b.i32(MEMORY_ACCESS.write)), b.i32(0));
  const bits = b.select(write, b.i64(ENTRY.accessed | ENTRY.dirty), b.i64(ENTRY.accessed));
  mark(w, bits);
  // The dirty bit tells whether the page may be entered in the TLB as writable already.
  const dirty = b.or(b.and(b.get(w.entry), b.i64(ENTRY.dirty)), b.select(write, b.i64(ENTRY.dirty), b.i64(0)));
  const kept = b.or(b.and(b.get(w.rights), b.i64(ENTRY.write | ENTRY.user)), dirty);
  writeField(b, w.cpu, 'exitInfo', b.wrap(b.or(kept, b.i64(shift === 30 ? HUGE : shift > 12 ? LARGE : 0))));
  b.return(b.or(frame, b.and(w.linear, b.i64((1n << BigInt(shift)) - 1n))));
}

/** Whether an access is allowed by the rights of all levels. (cpu, rights, nx, flags) */
const pageRights = routine('pageRights', ['i64', 'i64', 'i32'], 'i32', (b, cpu, rights, nx, flags) => {
  const userPage = bit(b, rights, ENTRY.user);
  const writable = bit(b, rights, ENTRY.write);
  const isSystem = b.ne(b.and(flags, b.i32(MEMORY_ACCESS.system)), b.i32(0));
  const user = b.and(b.eq(readField(b, cpu, 'cpl'), b.i32(3)), b.eqz(isSystem));
  const write = b.ne(b.and(flags, b.i32(MEMORY_ACCESS.write)), b.i32(0));
  const fetch = b.ne(b.and(flags, b.i32(MEMORY_ACCESS.execute)), b.i32(0));
  b.if(b.and(user, b.eqz(userPage)), () => b.return(b.i32(0)));
  const cr4 = readField(b, cpu, 'cr4');
  b.if(fetch, () => {
    b.if(b.ltS(nx, b.i64(0)), () => b.return(b.i32(0)));
    b.return(b.eqz(b.and(b.and(b.eqz(user), userPage), bit(b, cr4, CR4.smep))));
  });
  b.if(b.and(b.and(b.eqz(user), userPage), bit(b, cr4, CR4.smap)), () => {
    // Implicit accesses are refused whatever EFLAGS.AC says (SDM vol. 3A 4.6.1).
    const ac = b.ne(b.and(readField(b, cpu, 'eflags'), b.i32(EFLAGS.ac)), b.i32(0));
    b.if(b.or(b.eqz(ac), isSystem), () => b.return(b.i32(0)));
  });
  const protectedWrite = b.or(user, b.ne(b.and(b.wrap(readField(b, cpu, 'cr0')), b.i32(CR0.wp)), b.i32(0)));
  b.return(b.eqz(b.and(b.and(write, b.eqz(writable)), protectedWrite)));
});

/** NX must be 0 while EFER.NXE is clear. */
function reservedBits(b: Builder, cpu: Value): Value {
  return b.select(bit(b, readField(b, cpu, 'efer'), EFER.nxe), b.i64(RESERVED), b.i64(RESERVED | NX));
}

/** Walks through tables of entries of `bytes` bytes, from the one at physical address `table`. */
function walkFrom(
  b: Builder,
  [cpu, linear, flags]: readonly Value[],
  bytes: 4 | 8,
  table: Value,
  down: (w: Walk) => void,
): void {
  b.loop((again) => {
    const rights = b.variable('i64', b.i64(ENTRY.write | ENTRY.user));
    const nx = b.variable('i64', b.i64(0));
    const [entry, at] = [b.variable('i64', b.i64(0)), b.variable('i64', b.i64(0))];
    const reserved = bytes === 8 ? reservedBits(b, cpu) : b.i64(0);
    down({ b, cpu, linear, flags, rights, nx, table: b.variable('i64', table), entry, at, reserved, bytes, again });
  });
}

/** Where the entry just read maps a large page of 2^`shift` bytes, ends there. */
function largePage(w: Walk, shift: number, enabled?: Value): void {
  const { b } = w;
  const large = bit(b, b.get(w.entry), ENTRY.large);
  b.if(enabled === undefined ? large : b.and(large, enabled), () => {
    const low = (1n << BigInt(shift)) - 1n;
    // Bit 12 is PAT; those from 13 up to the page size must be 0.
    checkReserved(w, b.i64(low & ~0x1fffn));
    finish(w, shift, b.and(b.get(w.entry), b.i64(ADDRESS & ~low)));
  });
}

const walk4 = routine('walk4', ['i64', 'i32'], 'i64', (b, ...args) => {
  const root = b.and(readField(b, args[0], 'cr3'), b.i64(ADDRESS));
  walkFrom(b, args, 8, root, (w) => {
    descend(w, 39, 9, b.or(w.reserved, b.i64(ENTRY.large)));
    follow(w);
    descend(w, 30, 9, w.reserved);
    largePage(w, 30);
    follow(w);
    descend(w, 21, 9, w.reserved);
    largePage(w, 21);
    follow(w);
    descend(w, 12, 9, w.reserved);
    finish(w, 12, b.and(b.get(w.entry), b.i64(ADDRESS)));
  });
});

/** PAE: bits 52–62 of an entry are reserved too. */
const PAE_RESERVED = ((1n << 63n) - 1n) & ~((1n << 52n) - 1n);

const walkPae = routine('walkPae', ['i64', 'i32'], 'i64', (b, cpu, linear, flags) => {
  const index = b.wrap(b.and(b.shrU(linear, b.i64(30)), b.i64(3)));
  const [, offset] = fieldAt('pdpte', 0);
  const pointer = b.variable('i64', b.loadHost('i64.load', b.add(cpu, b.shl(index, b.i32(3))), offset));
  b.if(b.eqz(bit(b, b.get(pointer), ENTRY.present)), () => b.return(b.call('pageFault', cpu, linear, flags, b.i32(0))));
  walkFrom(b, [cpu, linear, flags], 8, b.and(b.get(pointer), b.i64(ADDRESS)), (w) => {
    const reserved = b.or(w.reserved, b.i64(PAE_RESERVED));
    descend(w, 21, 9, reserved);
    largePage(w, 21);
    follow(w);
    descend(w, 12, 9, reserved);
    finish(w, 12, b.and(b.get(w.entry), b.i64(ADDRESS)));
  });
});

const walk32 = routine('walk32', ['i64', 'i32'], 'i64', (b, ...args) => {
  const [cpu] = args;
  walkFrom(b, args, 4, b.and(readField(b, cpu, 'cr3'), b.i64(ADDRESS_32)), (w) => {
    descend(w, 22, 10, w.reserved);
    const pse = b.and(bit(b, readField(b, cpu, 'cr4'), CR4.pse), bit(b, b.get(w.entry), ENTRY.large));
    b.if(pse, () => {
      // PSE-36: bits 13–20 give address bits 32–39; bit 21 is reserved.
      checkReserved(w, b.i64(1n << 21n));
      const high = b.shl(b.and(b.shrU(b.get(w.entry), b.i64(13)), b.i64(0xff)), b.i64(32));
      finish(w, 22, b.or(b.and(b.get(w.entry), b.i64(0xffc00000n)), high));
    });
    follow(w);
    descend(w, 12, 10, w.reserved);
    finish(w, 12, b.and(b.get(w.entry), b.i64(ADDRESS_32)));
  });
});

/** `walk` (cpu, linear, flags) -> guest-physical address, or -1 with a page fault in the fault fields. */
const walk = routine('walk', ['i64', 'i32'], 'i64', (b, cpu, linear, flags) => {
  b.if(b.eqz(b.and(b.wrap(readField(b, cpu, 'cr0')), b.i32(CR0.pg))), () => {
    writeField(b, cpu, 'exitInfo', b.i32(Number(ENTRY.write | ENTRY.user | ENTRY.dirty)));
    b.return(linear);
  });
  b.if(bit(b, readField(b, cpu, 'efer'), EFER.lma), () => b.return(b.call('walk4', cpu, linear, flags)));
  b.if(bit(b, readField(b, cpu, 'cr4'), CR4.pae), () => b.return(b.call('walkPae', cpu, linear, flags)));
  b.return(b.call('walk32', cpu, linear, flags));
});

const INVALID = -1;

/**
 * Enters a page in the TLB after a successful walk: readable or executable as this access was, writable where the rights
 * that the walk left in `exitInfo` and the map's entry allow it at once. (cpu, linear, flags, map entry)
 */
const fill = routine('fillTlb', ['i64', 'i32', 'i32'], undefined, (b, cpu, linear, flags, entry) => {
  const system = b.and(flags, b.i32(MEMORY_ACCESS.system));
  const long = b.and(b.wrap(readField(b, cpu, 'efer')), b.i32(EFER.lma));
  // The processor's own accesses have rights that the table in use does not stand for.
  b.if(b.and(b.ne(system, b.i32(0)), b.eqz(long)), () => b.return());
  const table = b.variable('i32', readField(b, cpu, 'tlbBase'));
  const mask = readField(b, cpu, 'tlbMask');
  // A mode in which every access must be looked at has an empty table of no entries.
  b.if(b.eqz(mask), () => b.return());
  b.if(system, () => {
    b.set(table, systemTable(b, cpu));
    noteTableUsed(b, cpu, b.get(table));
  });
  const slot = b.variable('i32', b.add(b.and(b.wrap(b.shrU(linear, b.i64(7))), mask), b.get(table)));
  const page = b.variable('i64', b.and(linear, b.i64(-4096)));
  const at = (tag: number) => b.loadHost('i64.load', b.get(slot), tag);
  const addend = b.sub(b.and(entry, b.i32(-4096)), b.wrap(b.get(page)));
  const same = b.or(b.eq(at(TLB_ENTRY.read), b.get(page)), b.eq(at(TLB_ENTRY.execute), b.get(page)));
  // The guest may have changed the page table and flushed nothing: rights to the old frame are none to the new one.
  const known = b.and(same, b.eq(b.loadHost('i32.load', b.get(slot), TLB_ENTRY.addend), addend));
  b.if(b.eqz(known), () => {
    for (const tag of [TLB_ENTRY.read, TLB_ENTRY.write, TLB_ENTRY.execute])
      b.storeHost('i64.store', b.get(slot), b.i64(INVALID), tag);
  });
  b.storeHost('i32.store', b.get(slot), addend, TLB_ENTRY.addend);
  const execute = b.ne(b.and(flags, b.i32(MEMORY_ACCESS.execute)), b.i32(0));
  b.if(
    execute,
    () => b.storeHost('i64.store', b.get(slot), b.get(page), TLB_ENTRY.execute),
    () => b.storeHost('i64.store', b.get(slot), b.get(page), TLB_ENTRY.read),
  );
  const rights = readField(b, cpu, 'exitInfo');
  b.if(b.and(rights, b.i32(LARGE)), () => noteLargePage(b, cpu, 'large', b.get(page)));
  b.if(b.and(rights, b.i32(HUGE)), () => noteLargePage(b, cpu, 'huge', b.get(page)));
  const direct = b.eq(b.and(entry, b.i32(WRITABLE_MASK)), b.i32(WRITABLE));
  const dirty = b.ne(b.and(rights, b.i32(Number(ENTRY.dirty))), b.i32(0));
  const user = b.and(b.eq(readField(b, cpu, 'cpl'), b.i32(3)), b.eqz(system));
  const wp = b.ne(b.and(b.wrap(readField(b, cpu, 'cr0')), b.i32(CR0.wp)), b.i32(0));
  const allowed = b.or(b.ne(b.and(rights, b.i32(Number(ENTRY.write))), b.i32(0)), b.eqz(b.or(user, wp)));
  b.if(b.and(b.and(b.and(direct, dirty), allowed), b.eqz(execute)), () => {
    b.storeHost('i64.store', b.get(slot), b.get(page), TLB_ENTRY.write);
  });
});

export const walkRoutines: readonly Helper[] = [
  entryHost,
  setEntryBits,
  pageFault,
  pageRights,
  walk4,
  walkPae,
  walk32,
  walk,
  fill,
];
