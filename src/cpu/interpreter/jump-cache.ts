/**
 * The jump cache: which block stands at an address, direct-mapped by instruction pointer.
 *
 * An entry holds for one mode and one generation. Whatever may change what is mapped (a flush of the TLB, another address
 * space) begins a new generation, but that seldom changes where code lies: an entry of an older generation is good again
 * once the TLB says that its page is still the same. Only what makes records themselves unusable raises the floor, below
 * which no generation comes back.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../../isa/access.ts';
import { readField, writeField } from '../../isa/fields.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import { NO_FAULT, SEGMENT, VCPU } from '../../isa/state.ts';
import { TLB_ENTRY } from '../../memory/tlb.ts';
import { MODE } from '../mode.ts';

/**
 * Byte offsets in an entry: i64 address, i64 key (mode and generation), i32 record, i32 times entered, i32 host address of
 * the code, i32 host address of the page in which its last instruction ends, or 0. Two fit a cache line of the host.
 */
export const JUMP_CACHE = {
  address: 0,
  key: 8,
  record: 16,
  heat: 20,
  host: 24,
  nextPage: 28,
  entrySize: 32,
  entries: 131_072,
} as const;

/**
 * A link is a jump cache of one entry that belongs to one place in a region. One of no generation never fits.
 */
export const NO_GENERATION = -1n;

export const JUMP_CACHE_BYTES = JUMP_CACHE.entries * JUMP_CACHE.entrySize;
const ENTRY_SHIFT = Math.log2(JUMP_CACHE.entrySize);
/** The number of an entry is the upper bits of the address's halves, multiplied by a number that mixes them. */
const INDEX_SHIFT = 32 - Math.log2(JUMP_CACHE.entries);
const MIX = 0x9e37_79b1;

/** Byte offset in the jump cache of the entry for an address. */
function jumpCacheOffset(address: bigint): number {
  const low = Number(BigInt.asUintN(32, address ^ (address >> 32n)));
  return (Math.imul(low, MIX) >>> INDEX_SHIFT) << ENTRY_SHIFT;
}

/** What the jump cache has of the code at an address. */
export interface JumpEntry {
  readonly address: bigint;
  readonly modeKey: number;
  readonly generation: number;
  readonly record: number;
  /** Host addresses, as in `JUMP_CACHE`. */
  readonly host: number;
  readonly nextPage: number;
}

/** Enters code in the jump cache. */
export function enterJump(data: DataView, jumpCache: number, code: JumpEntry): void {
  const entry = jumpCache + jumpCacheOffset(code.address);
  // Another block's visits are none of this one's.
  const known = data.getUint32(entry + JUMP_CACHE.record, true) === code.record;
  if (!known) data.setUint32(entry + JUMP_CACHE.heat, 0, true);
  data.setBigUint64(entry + JUMP_CACHE.address, code.address, true);
  data.setUint32(entry + JUMP_CACHE.key, code.modeKey, true);
  data.setUint32(entry + JUMP_CACHE.key + 4, code.generation, true);
  data.setUint32(entry + JUMP_CACHE.record, code.record, true);
  data.setUint32(entry + JUMP_CACHE.host, code.host, true);
  data.setUint32(entry + JUMP_CACHE.nextPage, code.nextPage, true);
}

/** Counts visits to the blocks with some records from 0 again. */
export function coolEntries(buffer: ArrayBufferLike, jumpCache: number, records: ReadonlySet<number>): void {
  const words = new Uint32Array(buffer, jumpCache, JUMP_CACHE_BYTES / 4);
  for (let at = 0; at < words.length; at += JUMP_CACHE.entrySize / 4) {
    if (records.has(words[at + JUMP_CACHE.record / 4])) words[at + JUMP_CACHE.heat / 4] = 0;
  }
}

/** Counts visits to the block with a record from `heat` on again, as far as they come by one address. */
export function coolEntry(data: DataView, jumpCache: number, address: bigint, record: number, heat: number): void {
  const entry = jumpCache + jumpCacheOffset(address);
  if (data.getUint32(entry + JUMP_CACHE.record, true) === record) data.setInt32(entry + JUMP_CACHE.heat, heat, true);
}

/** Host address of the entry for an address. */
export function jumpCacheEntry(b: Builder, cpu: Value, address: Value): Value {
  const low = b.wrap(b.xor(address, b.shrU(address, b.i64(32))));
  const index = b.shrU(b.mul(low, b.i32(MIX)), b.i32(INDEX_SHIFT));
  return b.add(b.shl(index, b.i32(ENTRY_SHIFT)), readField(b, cpu, 'jumpCache'));
}

/** `ipBase` for the code of an entry, `at` bytes behind an address: its place in the page is the same in linear and in host addresses. */
export function entryIpBase(b: Builder, entry: Value, at = 0): Value {
  const offset = b.and(b.loadHost('i32.load', entry, at + JUMP_CACHE.host), b.i32(4095));
  return b.sub(b.loadHost('i64.load', entry, at + JUMP_CACHE.address), b.extendU(offset));
}

/** Linear address that an instruction pointer stands for. */
export function linearAddressOf(b: Builder, cpu: Value, ip: Value): Value {
  const long = b.and(readField(b, cpu, 'modeKey'), b.i32(2 << MODE.codeShift));
  const inSegment = b.zeroExtend(b.add(ip, readField(b, cpu, 'segmentBase', SEGMENT.cs)), 4);
  return b.select(long, ip, inSegment);
}
/** Linear address of the next instruction. */
export const linearInstructionPointer = (b: Builder, cpu: Value): Value =>
  linearAddressOf(b, cpu, readField(b, cpu, 'rip'));

/** Host address of the page of code at a linear address, or 0 where it cannot be fetched: no fault is left behind. */
const codePage = routine('codePage', ['i64'], 'i32', (b, cpu, linear) => {
  const page = b.and(linear, b.i64(-4096));
  const index = b.and(b.wrap(b.shrU(linear, b.i64(7))), readField(b, cpu, 'tlbMask'));
  const entry = b.variable('i32', b.add(index, readField(b, cpu, 'tlbBase')));
  b.if(b.eq(b.loadHost('i64.load', b.get(entry), TLB_ENTRY.execute), page), () => {
    b.return(b.add(b.wrap(page), b.loadHost('i32.load', b.get(entry), TLB_ENTRY.addend)));
  });
  const host = b.variable('i32', b.call('translatePage', cpu, linear, b.i32(1 | MEMORY_ACCESS.execute)));
  b.if(b.eqz(b.get(host)), () => writeField(b, cpu, 'faultVector', b.i32(NO_FAULT)));
  // A device (1) is no page of code either.
  b.return(b.and(b.get(host), b.i32(-4096)));
});

/**
 * Makes an entry of an older generation hold again; 0 where it must be looked up. Address and mode are those of the entry.
 * (cpu, entry) -> i32
 */
const refreshJump = routine('refreshJump', ['i32'], 'i32', (b, cpu, entry) => {
  const linear = b.variable('i64', linearInstructionPointer(b, cpu));
  const host = b.loadHost('i32.load', entry, JUMP_CACHE.host);
  // An entry that was never written has no page, nor has one whose page has no frame.
  const page = b.variable('i32', b.and(host, b.i32(-4096)));
  const moved = b.ne(b.call('codePage', cpu, b.get(linear)), b.get(page));
  b.if(b.or(b.eqz(b.get(page)), moved), () => b.return(b.i32(0)));
  b.if(b.loadHost('i32.load', entry, JUMP_CACHE.nextPage), () => {
    const next = b.add(b.or(b.get(linear), b.i64(4095)), b.i64(1));
    const nextPage = b.loadHost('i32.load', entry, JUMP_CACHE.nextPage);
    b.if(b.ne(b.call('codePage', cpu, next), nextPage), () => b.return(b.i32(0)));
  });
  // The walk may have moved pages: the floor is looked at after it.
  const generation = b.loadHost('i32.load', entry, JUMP_CACHE.key + 4);
  b.if(b.ltU(generation, readField(b, cpu, 'jumpFloor')), () => b.return(b.i32(0)));
  b.storeHost('i32.store', entry, readField(b, cpu, 'jumpGeneration'), JUMP_CACHE.key + 4);
  b.return(b.i32(1));
});

/**
 * Begins a new generation, and so a new epoch; with `forGood` no entry made before comes back. (cpu, forGood)
 */
const forgetJumps = routine('forgetJumps', ['i32'], undefined, (b, cpu, forGood) => {
  writeField(b, cpu, 'epoch', b.add(readField(b, cpu, 'epoch'), b.i32(1)));
  const next = b.variable('i32', b.add(readField(b, cpu, 'jumpGeneration'), b.i32(1)));
  b.if(b.eqz(b.get(next)), () => {
    // Generations begin anew: those of the entries must not be met again.
    b.fillHost(readField(b, cpu, 'jumpCache'), b.i32(0xff), b.i32(JUMP_CACHE_BYTES));
    writeField(b, cpu, 'jumpFloor', b.i32(0));
  });
  writeField(b, cpu, 'jumpGeneration', b.get(next));
  b.if(forGood, () => writeField(b, cpu, 'jumpFloor', b.get(next)));
});

export const jumpCacheRoutines: readonly Helper[] = [codePage, refreshJump, forgetJumps];

if (VCPU.offsets.jumpGeneration !== VCPU.offsets.modeKey + 4)
  throw new RangeError('modeKey and jumpGeneration must be neighbours');
