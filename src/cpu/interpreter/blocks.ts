/**
 * The block cache: guest code decoded into records, found by guest-physical page, offset and mode. Links between blocks
 * stay inside a page, so that they hold whatever the page's linear address is.
 */
import { type Decoder, MAX_LENGTH } from '../../isa/decoder.ts';
import type { Instruction } from '../../isa/instruction.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import { PAGE_FLAG, type PhysicalMap } from '../../memory/physical-map.ts';
import { keyCodeSize, keyFlat, keyProtected, keyStackSize, keyUnitFault, MODE } from '../mode.ts';
import { isComputedJump } from './builder.ts';
import type { Handlers, Special } from './handlers.ts';
import { BLOCK_LIMIT, JUMP_TARGETS, JUMP_TARGETS_BYTES, LINK_OUTSIDE, RECORD, RECORD_SIZE } from './record.ts';
import { createRecordWriter } from './record-writer.ts';
import { type ShapeMode, shapeOf } from './shape.ts';

/** Mode bit beside those of `cpu/mode.ts`: blocks of one instruction. */
export const MODE_SINGLE = 1 << 20;

/** What decoded code depends on. */
export const BLOCK_MODE = ~((3 << MODE.cplShift) | MODE.alignment);

export interface Block {
  /** Address of the first record. */
  readonly record: number;
  readonly records: number;
  /** Offsets in its page of the first byte and past the last; the latter passes the page's end if code does. */
  readonly start: number;
  readonly end: number;
  /** Page that it starts in, and its name there. */
  readonly page: number;
  readonly key: number;
  /** Page that the last instruction continues in, or -1. */
  readonly nextPage: number;
  /** Limit of CS that it was built under, where CS is not flat. */
  readonly limit: number;
  /** No debugger or single-step wants to see it apart: a region may contain it. */
  readonly translatable: boolean;
  /** It lies in one page, and jumps may go straight to it. */
  readonly linkable: boolean;
  /** Blocks whose regions contain code of this one; most have none. */
  coveredBy: Set<Block> | undefined;
  /** The region that is entered here. */
  region: BlockRegion | undefined;
}

/** Mode that a block was decoded for, as far as that matters. */
export const modeKeyOf = (block: Block): number => Math.floor(block.key / PAGE_SIZE);

/** A region in the place of a block. */
interface BlockRegion {
  /** Handler of the block's first record that the region's took the place of. */
  readonly interpreter: number;
  readonly handler: number;
  /** Blocks that it was made of. */
  readonly sources: ReadonlySet<Block>;
  /** How many instructions it has. */
  readonly instructions: number;
  /** Called when it can be entered no more. */
  readonly dropped: () => void;
}

/** What a block was decoded from. */
export interface KnownCode {
  readonly block: Block;
  readonly instructions: readonly { readonly instruction: Instruction; readonly offset: number }[];
  /** The bytes of these instructions. */
  readonly bytes: Uint8Array;
  /** Low halves of the addresses that a computed jump at its end went to. */
  readonly targets: readonly number[];
}

/** Where a block starts and how it is to be read. */
export interface CodePosition {
  /** Guest-physical page and offset in it. */
  readonly page: number;
  readonly offset: number;
  readonly modeKey: number;
  /** Instruction pointer, and limit of CS. */
  readonly ip: number;
  readonly limit: number;
  /** Page after this one in the linear address space; -1 with the fault fields set. Asked for only when needed. */
  nextPage(): number;
}

export interface BlockCache {
  /** The block at a position, made if need be; `undefined` when the fetch faults (the fault fields are set). */
  find(position: CodePosition): Block | undefined;
  /** Lets a jump record go straight to a block. */
  link(record: number, block: Block): void;
  /** Drops the blocks that have bytes at `[from, to)` of a page. */
  invalidate(page: number, from: number, to: number): void;
  clear(): void;
  /** What a mode key says about shapes. */
  modeOf(modeKey: number): ShapeMode;
  /**
   * The instructions of a block that was made before, up to the first that is none. Their offsets count from `distance`
   * pages before its page.
   */
  describe(page: number, offset: number, modeKey: number, distance: number): KnownCode | undefined;
  /** The handler that interprets the first instruction of a block. */
  interpreterOf(block: Block): number;
  /**
   * Lets a block's first record run a region: once a block that it was made of goes, it goes too. `dropped` is called when
   * it can be entered no more. `false`, with nothing done: such a block is gone already.
   */
  replace(block: Block, region: Omit<BlockRegion, 'interpreter' | 'dropped'>, dropped: () => void): boolean;
  /** Lets the interpreter run a block again, and counts the jumps to it anew. */
  restore(block: Block): void;
  /** Jumps that go straight to a block count from 0 again, so that it can become hot once more. */
  cool(block: Block): void;
  readonly stats: { blocks: number; instructions: number; invalidated: number; flushes: number };
}

export interface BlockCacheOptions {
  readonly buffer: SharedArrayBuffer;
  /** Memory for records. */
  readonly area: { readonly base: number; readonly size: number };
  readonly map: PhysicalMap;
  readonly decode: Decoder;
  readonly handlers: Handlers;
  /** Addresses that were looked up before may now lead elsewhere. */
  forgetJumps(): void;
  /** Records have become exits: whatever leads to them finds that out by itself, but not what runs already. */
  codeDropped(): void;
  /** Whether the instruction at an offset in its page must begin a block that nothing links to. */
  separates(offset: number): boolean;
}

interface CodePage {
  readonly blocks: Map<number, Block>;
  /** Blocks of the page before whose last instruction ends here. */
  readonly entering: Set<Block>;
}

interface Draft {
  readonly position: CodePosition;
  readonly mode: ShapeMode;
  readonly first: number;
  at: number;
  offset: number;
  count: number;
  nextPage: number;
  /** Offset past the last byte that was looked at and did not become an instruction. */
  looked: number;
}

function shapeMode(key: number): ShapeMode {
  return {
    codeSize: keyCodeSize(key),
    stackSize: keyStackSize(key),
    protected: keyProtected(key),
    flatSegments: [0, 1, 2, 3, 4, 5].map((segment) => keyFlat(key, segment)),
  };
}

export function createBlockCache(options: BlockCacheOptions): BlockCache {
  const { buffer, area, map, decode, handlers } = options;
  const data = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  const writer = createRecordWriter(data);
  const pages = new Map<number, CodePage>();
  const modes = new Map<number, ShapeMode>();
  const stats = { blocks: 0, instructions: 0, invalidated: 0, flushes: 0 };
  /** Records grow upwards, notes of jump targets downwards. */
  let next = area.base;
  let notes = area.base + area.size;

  const blockKey = (offset: number, modeKey: number) => (modeKey & BLOCK_MODE) * PAGE_SIZE + offset;

  function modeOf(key: number): ShapeMode {
    const masked = key & BLOCK_MODE;
    let mode = modes.get(masked);
    if (mode === undefined) {
      mode = shapeMode(masked);
      modes.set(masked, mode);
    }
    return mode;
  }

  function codePage(page: number): CodePage {
    let entry = pages.get(page);
    if (entry === undefined) {
      entry = { blocks: new Map(), entering: new Set() };
      pages.set(page, entry);
    }
    map.setFlag(page, PAGE_FLAG.code);
    return entry;
  }

  function special(d: Draft, name: Special, length: number, count = d.count): void {
    writer.special(d.at, handlers.special[name], d.offset, d.offset + length, count);
    d.at += RECORD_SIZE;
  }

  /** Writes one instruction's record. */
  function emit(d: Draft, instruction: Instruction): void {
    const { unit } = instruction.encoding.definition;
    const fault = unit === undefined ? undefined : keyUnitFault(d.position.modeKey, unit);
    d.count++;
    if (fault !== undefined) {
      special(d, fault === 6 ? 'undefined' : 'deviceMissing', instruction.length);
    } else {
      const shape = shapeOf(instruction, d.mode);
      writer.instruction(d.at, handlers.index(shape), instruction, shape, d.offset, d.count);
      if (isComputedJump(instruction.encoding)) {
        notes -= JUMP_TARGETS_BYTES;
        bytes.fill(0, notes, notes + JUMP_TARGETS_BYTES);
        data.setUint32(d.at + RECORD.targets, notes, true);
      }
      d.at += RECORD_SIZE;
    }
    d.offset += instruction.length;
    stats.instructions++;
  }

  /** The bytes of an instruction that starts at `offset` of a page and ends in the page `nextPage`, and more. */
  function joinPages(page: number, offset: number, nextPage: number): Uint8Array {
    const joined = new Uint8Array(32);
    const tail = PAGE_SIZE - offset;
    const host = map.readable(page);
    joined.set(bytes.subarray(host + offset, host + PAGE_SIZE));
    const nextHost = map.readable(nextPage);
    if (nextHost === 0) joined.fill(0xff, tail);
    else joined.set(bytes.subarray(nextHost, nextHost + 32 - tail), tail);
    return joined;
  }

  /** Decodes the first instruction when it does not fit its page. `false`: the fetch faults. */
  function emitCrossing(d: Draft): boolean {
    d.nextPage = d.position.nextPage();
    if (d.nextPage < 0) return false;
    const joined = joinPages(d.position.page, d.offset, d.nextPage);
    const result = decode(joined, 0, d.mode);
    const within = (length: number) => d.position.ip + length - 1 <= d.position.limit;
    if (typeof result !== 'string' && within(result.length)) emit(d, result);
    else {
      d.count++;
      special(d, result === 'undefined' ? 'undefined' : 'tooLong', 1);
      d.looked = d.offset + MAX_LENGTH;
    }
    return true;
  }

  /** Decodes up to the end of the block; `false`: the fetch of its first instruction faults. */
  function fill(d: Draft): boolean {
    const host = map.readable(d.position.page);
    const code = bytes.subarray(host, host + PAGE_SIZE);
    const limit = (d.position.modeKey & (MODE_SINGLE | MODE.debug)) !== 0 ? 1 : BLOCK_LIMIT;
    while (d.count < limit && d.offset < PAGE_SIZE) {
      if (d.count > 0 && options.separates(d.offset)) break;
      const result = decode(code, d.offset, d.mode);
      if (result === 'short') {
        if (d.count > 0) break;
        if (!emitCrossing(d)) return false;
        break;
      }
      if (result === 'undefined' || result === 'long') {
        d.count++;
        special(d, result === 'long' ? 'tooLong' : 'undefined', 1);
        d.looked = Math.min(d.offset + MAX_LENGTH, PAGE_SIZE);
        return true;
      }
      // An instruction past the limit of CS faults by itself, as the first of its block.
      const end = d.position.ip + (d.offset - d.position.offset) + result.length - 1;
      if (end > d.position.limit) {
        if (d.count > 0) break;
        d.count++;
        special(d, 'tooLong', result.length);
        return true;
      }
      emit(d, result);
      const { definition, operands } = result.encoding;
      if (definition.ends === true && !fallsThrough(definition.name, operands.length)) return true;
    }
    // It stands for the next instruction, which it does not run, and may itself turn stale.
    special(d, 'end', 0, d.count + 1);
    return true;
  }

  /** Whether the handler of a block-ending instruction may go on at the next record: conditional jumps do. */
  function fallsThrough(name: string, operands: number): boolean {
    return operands === 1 && (name.startsWith('j') || name.startsWith('loop')) && name !== 'jmp' && name !== 'jmpf';
  }

  function build(position: CodePosition): Block | undefined {
    if (next + (BLOCK_LIMIT + 2) * RECORD_SIZE + JUMP_TARGETS_BYTES > notes) {
      stats.flushes++;
      cache.clear();
    } else if (handlers.full()) {
      stats.flushes++;
      cache.clear();
      handlers.clear();
    }
    const draft: Draft = {
      position,
      mode: modeOf(position.modeKey),
      first: next,
      at: next,
      offset: position.offset,
      count: 0,
      nextPage: -1,
      looked: 0,
    };
    if (!fill(draft)) return undefined;
    handlers.publish();
    next = draft.at;
    const key = blockKey(position.offset, position.modeKey);
    const translatable = (position.modeKey & (MODE_SINGLE | MODE.debug)) === 0 && !options.separates(position.offset);
    const block: Block = {
      page: position.page,
      key,
      record: draft.first,
      records: (draft.at - draft.first) / RECORD_SIZE,
      start: position.offset,
      end: Math.max(draft.offset, draft.looked),
      nextPage: draft.nextPage,
      coveredBy: undefined,
      region: undefined,
      limit: position.limit,
      translatable,
      linkable: translatable && draft.nextPage < 0,
    };
    const replaced = pages.get(position.page)?.blocks.get(key);
    if (replaced !== undefined) {
      remove(replaced);
      options.codeDropped();
    }
    codePage(position.page).blocks.set(key, block);
    if (block.nextPage >= 0) codePage(block.nextPage).entering.add(block);
    stats.blocks++;
    return block;
  }

  /** Where a computed jump at the end of a block went. */
  function notedTargets(block: Block, instructions: KnownCode['instructions']): number[] {
    const last = instructions[instructions.length - 1];
    if (last === undefined || !isComputedJump(last.instruction.encoding)) return [];
    const place = data.getUint32(block.record + (instructions.length - 1) * RECORD_SIZE + RECORD.targets, true);
    if (place === 0) return [];
    return [...new Uint32Array(buffer, place, JUMP_TARGETS)].filter((target) => target !== 0);
  }

  const isAlive = (block: Block): boolean => pages.get(block.page)?.blocks.get(block.key) === block;

  function dropRegion(block: Block): void {
    const { region } = block;
    if (region === undefined) return;
    block.region = undefined;
    for (const source of region.sources) source.coveredBy?.delete(block);
    region.dropped();
  }

  /** Those jumps are all in the block's page. */
  function coolJumpsTo({ page, record }: Block): void {
    for (const block of pages.get(page)?.blocks.values() ?? []) {
      const end = block.record + block.records * RECORD_SIZE;
      for (let at = block.record; at < end; at += RECORD_SIZE) {
        // What has an operand of this value in the place of a link has nothing in that of the heat.
        if (data.getUint32(at + RECORD.link, true) === record) data.setUint16(at + RECORD.heat, 0, true);
      }
    }
  }

  /** Forgets a block and turns its records into exits, so that a run inside it or a link to it goes no further. */
  function remove(block: Block): void {
    dropRegion(block);
    for (let i = 0; i < block.records; i++) {
      data.setUint16(block.record + i * RECORD_SIZE + RECORD.handler, handlers.special.stale, true);
    }
    pages.get(block.page)?.blocks.delete(block.key);
    if (block.nextPage >= 0) pages.get(block.nextPage)?.entering.delete(block);
    stats.invalidated++;
    const covering = block.coveredBy ?? [];
    block.coveredBy = undefined;
    for (const entry of covering) if (pages.get(entry.page)?.blocks.get(entry.key) === entry) remove(entry);
    for (const page of [block.page, block.nextPage]) {
      const entry = pages.get(page);
      if (entry === undefined || entry.blocks.size + entry.entering.size > 0) continue;
      pages.delete(page);
      map.clearFlag(page, PAGE_FLAG.code);
    }
  }

  /** Whether a block has bytes at `[from, to)` of a page that it lies in. */
  function touches(block: Block, isNext: boolean, from: number, to: number): boolean {
    const start = isNext ? 0 : block.start;
    const end = isNext ? block.end - PAGE_SIZE : block.end;
    return from < end && to > start;
  }

  function lookUp({ page, offset, modeKey }: CodePosition): Block | undefined {
    return pages.get(page)?.blocks.get(blockKey(offset, modeKey));
  }

  const cache: BlockCache = {
    stats,
    modeOf,
    find(position) {
      const known = lookUp(position);
      if (known !== undefined && known.limit === position.limit) {
        if (known.nextPage < 0) return known;
        const nextPage = position.nextPage();
        if (nextPage < 0) return undefined;
        // The look at the next page may have set an accessed bit in this one, and so changed what stands there.
        if (nextPage === known.nextPage && lookUp(position) === known) return known;
      }
      return build(position);
    },
    link(record, block) {
      data.setUint32(record + RECORD.link, block.linkable ? block.record : LINK_OUTSIDE, true);
    },
    invalidate(page, from, to) {
      const entry = pages.get(page);
      if (entry === undefined) return;
      const dropped = [
        ...[...entry.blocks.values()].filter((block) => touches(block, false, from, to)),
        ...[...entry.entering].filter((block) => touches(block, true, from, to)),
      ];
      for (const block of dropped) remove(block);
      if (dropped.length > 0) options.codeDropped();
    },
    describe(page, offset, key, distance) {
      const block = pages.get(page)?.blocks.get(blockKey(offset, key));
      if (block === undefined || !block.translatable) return undefined;
      const host = map.readable(page);
      const crosses = block.nextPage >= 0;
      const code = crosses ? joinPages(page, offset, block.nextPage) : bytes.subarray(host, host + PAGE_SIZE);
      const mode = modeOf(key);
      const instructions: { instruction: Instruction; offset: number }[] = [];
      const origin = distance * PAGE_SIZE + (crosses ? offset : 0);
      const end = crosses ? 1 : block.end;
      const start = crosses ? 0 : offset;
      let at = start;
      while (at < end) {
        const instruction = decode(code, at, mode);
        if (typeof instruction === 'string') break;
        instructions.push({ instruction, offset: origin + at });
        at += instruction.length;
      }
      return { block, instructions, bytes: code.slice(start, at), targets: notedTargets(block, instructions) };
    },
    interpreterOf: (block) => block.region?.interpreter ?? data.getUint16(block.record + RECORD.handler, true),
    replace(block, region, dropped) {
      if (![block, ...region.sources].every(isAlive)) return false;
      block.region = { ...region, interpreter: data.getUint16(block.record + RECORD.handler, true), dropped };
      data.setUint16(block.record + RECORD.handler, region.handler, true);
      for (const source of region.sources) {
        if (source === block) continue;
        source.coveredBy ??= new Set();
        source.coveredBy.add(block);
      }
      return true;
    },
    restore(block) {
      const { region } = block;
      if (region === undefined) return;
      data.setUint16(block.record + RECORD.handler, region.interpreter, true);
      dropRegion(block);
      coolJumpsTo(block);
    },
    cool: coolJumpsTo,
    clear() {
      for (const page of pages.keys()) map.clearFlag(page, PAGE_FLAG.code);
      for (const { blocks } of pages.values()) for (const block of blocks.values()) dropRegion(block);
      pages.clear();
      next = area.base;
      notes = area.base + area.size;
      options.forgetJumps();
    },
  };
  return cache;
}
