/**
 * Address translation in WebAssembly: the path that a TLB miss takes. `translate` turns a linear address into a host
 * address; accesses that no page backs as they stand (devices, two pages) go through the vCPU's scratch area, and
 * `finishWrite` brings what was stored there to its place.
 */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/node.ts';
import { MEMORY_ACCESS } from '../isa/access.ts';
import { count } from '../isa/counters.ts';
import { readField, writeField } from '../isa/fields.ts';
import { type Helper, helper, routine } from '../isa/helpers.ts';
import { CR0, EFER, EFLAGS, RUN_ALONE, VCPU, VECTOR } from '../isa/state.ts';
import { PAGE_FLAG, PAGE_STATE, STATE_MASK, WRITABLE, WRITABLE_MASK } from './physical-map.ts';
import { TLB_ENTRY, TLB_INVALID_PAGE } from './tlb.ts';
import { walkRoutines } from './walk.ts';

/** Kinds of pending write (`VCPU.pendingKind`). */
export const PENDING = { none: 0, device: 1, split: 2 } as const;

/** Sets the fault fields and returns `result`. */
function fail(b: Builder, cpu: Value, vector: number | Value, error?: Value, result = 0): void {
  writeField(b, cpu, 'faultVector', typeof vector === 'number' ? b.i32(vector) : vector);
  writeField(b, cpu, 'faultHasError', b.i32(error === undefined ? 0 : 1));
  if (error !== undefined) writeField(b, cpu, 'faultError', error);
  b.return(b.i32(result));
}

/** True (i32) where `flags` has a bit of `mask`. */
const has = (b: Builder, flags: Value, mask: number) => b.ne(b.and(flags, b.i32(mask)), b.i32(0));

/** True (i32) for a write whose place is not read first. */
const storesOnly = (b: Builder, flags: Value): Value =>
  b.eq(b.and(flags, b.i32(MEMORY_ACCESS.write | MEMORY_ACCESS.modify)), b.i32(MEMORY_ACCESS.write));

/** `page` (cpu, linear, flags) -> host address of one page's byte, 1 for a device, 0 for a fault. Fills the TLB. */
const page = routine('translatePage', ['i64', 'i32'], 'i32', (b, cpu, linear, flags) => {
  count(b, cpu, 'tlbMisses');
  const physical = b.variable('i64', b.call('walk', cpu, linear, flags));
  b.if(b.ltS(b.get(physical), b.i64(0)), () => b.return(b.i32(0)));
  writeField(b, cpu, 'pendingAddress', b.get(physical));
  const number = b.variable('i64', b.shrU(b.get(physical), b.i64(12)));
  b.if(b.geU(b.get(number), b.extendU(readField(b, cpu, 'mapPages'))), () => b.return(b.i32(1)));
  const at = b.variable('i32', b.add(readField(b, cpu, 'mapBase'), b.shl(b.wrap(b.get(number)), b.i32(2))));
  const entry = b.variable('i32', b.loadHost('i32.load', b.get(at)));
  const write = has(b, flags, MEMORY_ACCESS.write);
  b.if(
    write,
    () => {
      b.if(b.ne(b.and(b.get(entry), b.i32(WRITABLE_MASK)), b.i32(WRITABLE)), () => {
        const size = b.and(flags, b.i32(0xff));
        const host = b.variable('i32', b.call('writePage', cpu, b.wrap(b.get(number)), b.wrap(b.get(physical)), size));
        b.if(b.eqz(b.get(host)), () => b.return(b.i32(1)));
        b.set(entry, b.loadHost('i32.load', b.get(at)));
      });
    },
    () => {
      b.if(b.ltU(b.and(b.get(entry), b.i32(STATE_MASK)), b.i32(PAGE_STATE.zero)), () => {
        b.if(b.eqz(b.call('fetchPage', cpu, b.wrap(b.get(number)))), () => b.return(b.i32(1)));
        b.set(entry, b.loadHost('i32.load', b.get(at)));
      });
      const own = b.geU(b.and(b.get(entry), b.i32(STATE_MASK)), b.i32(PAGE_STATE.private));
      b.if(b.eqz(b.or(own, b.and(b.get(entry), b.i32(PAGE_FLAG.seen)))), () => {
        // Another thread may give the page a frame meanwhile: what counts is the entry as it was then.
        b.set(entry, b.atomic('i32.atomic.rmw.or', b.get(at), [b.i32(PAGE_FLAG.seen)]));
      });
    },
  );
  b.call('fillTlb', cpu, linear, flags, b.get(entry));
  b.return(b.or(b.and(b.get(entry), b.i32(-4096)), b.and(b.wrap(linear), b.i32(4095))));
});

/** Canonical and alignment checks that come before any translation; `failed`: what is returned where one fails. */
function checkAddress(b: Builder, cpu: Value, linear: Value, flags: Value, failed = 0): void {
  const last = b.add(linear, b.extendU(b.sub(b.and(flags, b.i32(0xff)), b.i32(1))));
  const canonical = (address: Value) => b.eq(b.shrS(b.shl(address, b.i64(16)), b.i64(16)), address);
  b.if(b.eqz(b.and(canonical(linear), canonical(last))), () => {
    const vector = b.select(has(b, flags, MEMORY_ACCESS.stack), b.i32(VECTOR.ss), b.i32(VECTOR.gp));
    fail(b, cpu, vector, b.i32(0), failed);
  });
  const checked = b.and(b.eq(readField(b, cpu, 'cpl'), b.i32(3)), has(b, readField(b, cpu, 'eflags'), EFLAGS.ac));
  const enabled = b.and(checked, has(b, b.wrap(readField(b, cpu, 'cr0')), CR0.am));
  b.if(b.and(enabled, b.eqz(has(b, flags, MEMORY_ACCESS.system | MEMORY_ACCESS.execute))), () => {
    const size = b.and(flags, b.i32(0xff));
    const isPower = b.and(b.leU(size, b.i32(8)), b.eqz(b.and(size, b.sub(size, b.i32(1)))));
    const odd = b.ne(b.and(b.wrap(linear), b.sub(size, b.i32(1))), b.i32(0));
    b.if(b.and(isPower, odd), () => fail(b, cpu, VECTOR.ac, b.i32(0), failed));
  });
}

const SCRATCH = VCPU.offsets.scratch;

/** While breakpoints are set every access comes here: tells those that did not fault. */
function watch(b: Builder, cpu: Value, linear: Value, flags: Value, host: Value): void {
  const looked = b.and(b.eqz(readField(b, cpu, 'tlbMask')), b.ne(host, b.i32(0)));
  b.if(b.and(looked, b.eqz(has(b, flags, MEMORY_ACCESS.system | MEMORY_ACCESS.execute))), () => {
    b.call('watchAccess', cpu, linear, flags);
  });
}

/** Copies `count` bytes between host places, one at a time: the slow path of a slow path. */
const copyBytes = routine('copyBytes', ['i32', 'i32', 'i32'], undefined, (b, _cpu, to, from, count) => {
  b.copyHost(to, from, count);
});

/** `translate` (cpu, linear, size | flags) -> host address, or 0 with the fault fields set. */
const translate = routine(
  'translate',
  ['i64', 'i32'],
  'i32',
  (b, cpu, linear, flags) => {
    checkAddress(b, cpu, linear, flags);
    const size = b.and(flags, b.i32(0xff));
    const offset = b.and(b.wrap(linear), b.i32(4095));
    b.if(b.gtU(b.add(offset, size), b.i32(4096)), () => {
      b.return(b.call('translateSplit', cpu, linear, flags, b.sub(b.i32(4096), offset)));
    });
    const host = b.variable('i32', b.call('translatePage', cpu, linear, flags));
    watch(b, cpu, linear, flags, b.get(host));
    b.if(b.ne(b.get(host), b.i32(1)), () => b.return(b.get(host)));
    writeField(b, cpu, 'pendingSize', size);
    b.call(
      'readDevice',
      cpu,
      readField(b, cpu, 'pendingAddress'),
      size,
      b.add(cpu, b.i32(SCRATCH)),
      storesOnly(b, flags),
    );
    b.if(has(b, flags, MEMORY_ACCESS.write), () => writeField(b, cpu, 'pendingKind', b.i32(PENDING.device)));
    b.return(b.add(cpu, b.i32(SCRATCH)));
  },
  true,
);

/** Whether an access must be aligned and is not (i32). */
function isTorn(b: Builder, linear: Value, flags: Value): Value {
  const size = b.and(flags, b.i32(0xff));
  const odd = b.and(b.wrap(linear), b.sub(size, b.i32(1)));
  return b.and(has(b, flags, MEMORY_ACCESS.locked), b.ne(odd, b.i32(0)));
}

/**
 * `translateLocked` (cpu, linear, size | flags) -> host address, aligned, in the RAM of one page, or 0 with the fault fields
 * set. They say `RUN_ALONE` where the access cannot be one atomic operation.
 */
const translateLocked = routine(
  'translateLocked',
  ['i64', 'i32'],
  'i32',
  (b, cpu, linear, flags) => {
    checkAddress(b, cpu, linear, flags);
    b.if(isTorn(b, linear, flags), () => fail(b, cpu, RUN_ALONE));
    const host = b.variable('i32', b.call('translatePage', cpu, linear, flags));
    b.if(b.eq(b.get(host), b.i32(1)), () => fail(b, cpu, RUN_ALONE));
    watch(b, cpu, linear, flags, b.get(host));
    b.return(b.get(host));
  },
  true,
);

/** What `translateInPlace` gives in the place of an addend, all of which are whole pages. */
export const NOT_IN_PLACE = 1;

/**
 * `translateInPlace` (cpu, linear, size | flags) -> what to add to the low half of the address to get one in the RAM of one page, or
 * `NOT_IN_PLACE`: with the fault fields set, or without where the access needs more than that, or took back rights that others may
 * hold (`epoch` moved).
 */
const translateInPlace = routine(
  'translateInPlace',
  ['i64', 'i32'],
  'i32',
  (b, cpu, linear, flags) => {
    checkAddress(b, cpu, linear, flags, NOT_IN_PLACE);
    const last = b.add(b.and(b.wrap(linear), b.i32(4095)), b.and(flags, b.i32(0xff)));
    b.if(b.gtU(last, b.i32(4096)), () => b.return(b.i32(NOT_IN_PLACE)));
    b.if(isTorn(b, linear, flags), () => fail(b, cpu, RUN_ALONE, undefined, NOT_IN_PLACE));
    // Where breakpoints watch all accesses, only the interpreter may run.
    b.if(b.eqz(readField(b, cpu, 'tlbMask')), () => b.return(b.i32(NOT_IN_PLACE)));
    const before = b.variable('i32', readField(b, cpu, 'epoch'));
    const host = b.variable('i32', b.call('translatePage', cpu, linear, flags));
    // 0 is a fault, 1 a device.
    const elsewhere = b.leU(b.get(host), b.i32(1));
    const moved = b.ne(readField(b, cpu, 'epoch'), b.get(before));
    b.if(b.or(elsewhere, moved), () => b.return(b.i32(NOT_IN_PLACE)));
    b.return(b.sub(b.get(host), b.wrap(linear)));
  },
  true,
);

/** As `translateInPlace`, after a look into the TLB; `grantedPage` tells whether the TLB grants such accesses now. */
const lookUpInPlace = routine(
  'lookUpInPlace',
  ['i64', 'i32'],
  'i32',
  (b, cpu, linear, flags) => {
    const index = b.and(b.wrap(b.shrU(linear, b.i64(7))), readField(b, cpu, 'tlbMask'));
    const entry = b.add(index, readField(b, cpu, 'tlbBase'));
    const write = has(b, flags, MEMORY_ACCESS.write);
    const tag = b.add(entry, b.shl(write, b.i32(3)));
    const size = b.extendU(b.and(flags, b.i32(0xff)));
    const page = b.and(b.sub(b.add(linear, size), b.i64(1)), b.i64(-4096));
    const addend = b.variable('i32');
    b.if(
      b.eq(b.loadHost('i64.load', tag), page),
      () => b.set(addend, b.loadHost('i32.load', entry, TLB_ENTRY.addend)),
      () => b.set(addend, b.call('translateInPlace', cpu, linear, flags)),
    );
    const granted = b.eq(b.loadHost('i64.load', tag), page);
    writeField(b, cpu, 'grantedPage', b.select(granted, page, b.i64(TLB_INVALID_PAGE)));
    b.return(b.get(addend));
  },
  true,
);

/** An access across two pages: both are translated before anything is read or written. */
const split = routine('translateSplit', ['i64', 'i32', 'i32'], 'i32', (b, cpu, linear, flags, first) => {
  const size = b.and(flags, b.i32(0xff));
  const one = b.variable('i32', b.call('translatePage', cpu, linear, b.or(b.and(flags, b.i32(-256)), first)));
  b.if(b.eqz(b.get(one)), () => b.return(b.i32(0)));
  const oneAddress = b.variable('i64', readField(b, cpu, 'pendingAddress'));
  const rest = b.sub(size, first);
  const next = b.call('wrapLinear', cpu, b.add(linear, b.extendU(first)));
  const two = b.variable('i32', b.call('translatePage', cpu, next, b.or(b.and(flags, b.i32(-256)), rest)));
  b.if(b.eqz(b.get(two)), () => b.return(b.i32(0)));
  watch(b, cpu, linear, flags, b.get(two));
  writeField(b, cpu, 'pendingAddress2', readField(b, cpu, 'pendingAddress'));
  writeField(b, cpu, 'pendingAddress', b.get(oneAddress));
  const scratch = b.add(cpu, b.i32(SCRATCH));
  const write = has(b, flags, MEMORY_ACCESS.write);
  const bring = (host: Value, address: Value, to: Value, count: Value) =>
    b.if(
      b.eq(host, b.i32(1)),
      () => b.call('readDevice', cpu, address, count, to, storesOnly(b, flags)),
      () => b.call('copyBytes', cpu, to, host, count),
    );
  bring(b.get(one), b.get(oneAddress), scratch, first);
  bring(b.get(two), readField(b, cpu, 'pendingAddress2'), b.add(scratch, first), rest);
  b.if(write, () => {
    writeField(b, cpu, 'pendingKind', b.i32(PENDING.split));
    writeField(b, cpu, 'pendingSize', size);
    writeField(b, cpu, 'pendingSplit', first);
    writeField(b, cpu, 'pendingFirst', b.get(one));
    writeField(b, cpu, 'pendingSecond', b.get(two));
  });
  b.return(scratch);
});

/** Linear addresses wrap at 4 GiB outside 64-bit mode. */
const wrapLinear = routine('wrapLinear', ['i64'], 'i64', (b, cpu, linear) => {
  const long = b.ne(b.and(readField(b, cpu, 'efer'), b.i64(EFER.lma)), b.i64(0));
  b.return(b.select(long, linear, b.zeroExtend(linear, 4)));
});

/** Brings a write from the scratch area to memory or to its device. */
const finishWrite = routine('finishWrite', [], undefined, (b, cpu) => {
  const kind = b.variable('i32', readField(b, cpu, 'pendingKind'));
  writeField(b, cpu, 'pendingKind', b.i32(PENDING.none));
  const scratch = b.add(cpu, b.i32(SCRATCH));
  b.if(b.eq(b.get(kind), b.i32(PENDING.device)), () => {
    b.call('writeDevice', cpu, readField(b, cpu, 'pendingAddress'), readField(b, cpu, 'pendingSize'), scratch);
    b.return();
  });
  const first = readField(b, cpu, 'pendingSplit');
  const rest = b.sub(readField(b, cpu, 'pendingSize'), first);
  const put = (host: Value, address: Value, from: Value, count: Value) =>
    b.if(
      b.eq(host, b.i32(1)),
      () => b.call('writeDevice', cpu, address, count, from),
      () => b.call('copyBytes', cpu, host, from, count),
    );
  put(readField(b, cpu, 'pendingFirst'), readField(b, cpu, 'pendingAddress'), scratch, first);
  put(readField(b, cpu, 'pendingSecond'), readField(b, cpu, 'pendingAddress2'), b.add(scratch, first), rest);
});

const LOADS = { 1: 'i64.load8_u', 2: 'i64.load16_u', 4: 'i64.load32_u', 8: 'i64.load' } as const;
const STORES = { 1: 'i64.store8', 2: 'i64.store16', 4: 'i64.store32', 8: 'i64.store' } as const;
const SIZES = [1, 2, 4, 8] as const;

/**
 * `loadGuest` (cpu, host address, bytes) -> what is there. The engine reaches guest memory by this and `storeGuest`: to
 * JavaScript, an access of eight bytes, and one that is not aligned, may be several.
 */
const loadGuest = routine('loadGuest', ['i32', 'i32'], 'i64', (b, _cpu, host, bytes) => {
  for (const size of SIZES) b.if(b.eq(bytes, b.i32(size)), () => b.return(b.loadOrdered(LOADS[size], host)));
});

/** `storeGuest` (cpu, host address, bytes, value) */
const storeGuest = routine('storeGuest', ['i32', 'i32', 'i64'], undefined, (b, _cpu, host, bytes, value) => {
  for (const size of SIZES) b.if(b.eq(bytes, b.i32(size)), () => b.storeHost(STORES[size], host, value));
});

/** What a TLB miss calls, in WebAssembly or provided by the engine. */
export const memoryHelpers: readonly Helper[] = [
  /** Makes a page private and writable for a write of `size` bytes at `offset`; host address or 0 for a device. */
  helper('writePage', ['i32', 'i32', 'i32'], 'i32'),
  /** Brings an absent page; 0 if it is a device. */
  helper('fetchPage', ['i32'], 'i32'),
  /** Reads a device into host memory; `forWrite`: the contents do not matter, a write follows. */
  helper('readDevice', ['i64', 'i32', 'i32', 'i32']),
  helper('writeDevice', ['i64', 'i32', 'i32']),
  /** An access of the instruction that runs, while breakpoints are set: linear address, size and `MEMORY_ACCESS`. */
  helper('watchAccess', ['i64', 'i32']),
  ...walkRoutines,
  wrapLinear,
  copyBytes,
  page,
  split,
  translate,
  translateLocked,
  translateInPlace,
  lookUpInPlace,
  finishWrite,
  loadGuest,
  storeGuest,
];
