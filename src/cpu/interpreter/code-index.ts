/**
 * The code index: which block stands where in host memory, for addresses that the jump cache does not know yet. A program
 * that is started again, or is loaded elsewhere, finds the blocks of its code here without leaving WebAssembly.
 *
 * A frame shows one guest-physical page, or pages that are equal and are moved before they are written; so what was decoded
 * from a frame fits whatever page shows it. Records that were dropped are exits, as everywhere.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { readField } from '../../isa/fields.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import { VCPU } from '../../isa/state.ts';
import { BLOCK_MODE } from './blocks.ts';
import { JUMP_CACHE, linearInstructionPointer } from './jump-cache.ts';

/**
 * Byte offsets in an entry: i32 host address of the code, i32 mode, i32 record, i32 host address of the page in which its
 * last instruction ends or 0, i32 visits that new entries of the jump cache begin with.
 */
const ENTRY = { host: 0, mode: 4, record: 8, nextPage: 12, heat: 16, size: 32 } as const;
const ENTRIES = 65_536;
export const CODE_INDEX_BYTES = ENTRIES * ENTRY.size;

const ENTRY_SHIFT = Math.log2(ENTRY.size);
const INDEX_SHIFT = 32 - Math.log2(ENTRIES);
const MIX = 0x9e37_79b1;

/** What is known of a block's place. */
export interface CodePlace {
  /** Host addresses of the first byte and of the page that the last instruction ends in, or 0. */
  readonly host: number;
  readonly nextPage: number;
  readonly modeKey: number;
  readonly record: number;
}

function entryOf(base: number, host: number, mode: number): number {
  return base + ((Math.imul(host ^ mode, MIX) >>> INDEX_SHIFT) << ENTRY_SHIFT);
}

/** Lets new entries of the jump cache for a block begin to count at 0 again. */
export function coolCode(data: DataView, base: number, place: Omit<CodePlace, 'nextPage'>): void {
  const entry = entryOf(base, place.host, place.modeKey & BLOCK_MODE);
  if (data.getUint32(entry + ENTRY.record, true) === place.record) data.setUint32(entry + ENTRY.heat, 0, true);
}

/** Enters a block in the index at `base`. */
export function indexCode(data: DataView, base: number, { host, nextPage, modeKey, record }: CodePlace): void {
  const mode = modeKey & BLOCK_MODE;
  const entry = entryOf(base, host, mode);
  if (data.getUint32(entry + ENTRY.record, true) !== record) data.setUint32(entry + ENTRY.heat, 0, true);
  data.setUint32(entry + ENTRY.host, host, true);
  data.setInt32(entry + ENTRY.mode, mode, true);
  data.setUint32(entry + ENTRY.record, record, true);
  data.setUint32(entry + ENTRY.nextPage, nextPage, true);
}

/**
 * `findCode` (cpu, entry of the jump cache) -> 1 where the entry now tells of the block at `rip`, else 0. `threshold` as for
 * `dispatch`: a block that many programs have reached is hot although each has reached it seldom.
 */
export const findCode = (threshold: number): Helper =>
  routine('findCode', ['i32'], 'i32', (b, cpu, entry) => {
    const linear = b.variable('i64', linearInstructionPointer(b, cpu));
    const page = b.variable('i32', b.call('codePage', cpu, b.get(linear)));
    b.if(b.eqz(b.get(page)), () => b.return(b.i32(0)));
    const offset = b.and(b.get(linear), b.i64(4095));
    const host = b.variable('i32', b.or(b.get(page), b.wrap(offset)));
    const mode = b.variable('i32', b.and(readField(b, cpu, 'modeKey'), b.i32(BLOCK_MODE)));
    const index = b.shrU(b.mul(b.xor(b.get(host), b.get(mode)), b.i32(MIX)), b.i32(INDEX_SHIFT));
    const found = b.variable('i32', b.add(b.shl(index, b.i32(ENTRY_SHIFT)), readField(b, cpu, 'codeIndex')));
    const field = (place: number) => b.loadHost('i32.load', b.get(found), place);
    const same = b.and(b.eq(field(ENTRY.host), b.get(host)), b.eq(field(ENTRY.mode), b.get(mode)));
    b.if(b.eqz(same), () => b.return(b.i32(0)));
    b.if(field(ENTRY.nextPage), () => {
      const next = b.call('codePage', cpu, b.add(b.or(b.get(linear), b.i64(4095)), b.i64(1)));
      b.if(b.ne(next, field(ENTRY.nextPage)), () => b.return(b.i32(0)));
    });
    writeEntry(b, cpu, entry, {
      record: field(ENTRY.record),
      nextPage: field(ENTRY.nextPage),
      heat: field(ENTRY.heat),
      host: b.get(host),
    });
    if (threshold > 1) {
      // It is asked to be translated once: by the visit after the one that finds it all but hot.
      const hot = b.i32(threshold - 1);
      const warmer = b.add(field(ENTRY.heat), b.i32(Math.ceil(threshold / PROGRAMS)));
      const next = b.select(b.ltU(warmer, hot), warmer, hot);
      const heat = b.select(b.ltU(field(ENTRY.heat), hot), next, b.i32(threshold));
      b.storeHost('i32.store', b.get(found), heat, ENTRY.heat);
    }
    b.return(b.i32(1));
  });

/** So many programs, or loads of one, make a block hot that each runs but a few times. */
const PROGRAMS = 64;

function writeEntry(
  b: Builder,
  cpu: Value,
  entry: Value,
  parts: Readonly<Record<'record' | 'nextPage' | 'heat' | 'host', Value>>,
): void {
  const { offsets } = VCPU;
  b.storeHost('i64.store', entry, b.loadHost('i64.load', cpu, offsets.rip), JUMP_CACHE.address);
  b.storeHost('i64.store', entry, b.loadHost('i64.load', cpu, offsets.modeKey), JUMP_CACHE.key);
  b.storeHost('i32.store', entry, parts.record, JUMP_CACHE.record);
  b.storeHost('i32.store', entry, parts.heat, JUMP_CACHE.heat);
  b.storeHost('i32.store', entry, parts.host, JUMP_CACHE.host);
  b.storeHost('i32.store', entry, parts.nextPage, JUMP_CACHE.nextPage);
}
