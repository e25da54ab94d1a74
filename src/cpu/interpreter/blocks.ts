/**
 * The block cache: guest code decoded into records, found by guest-physical page, offset and mode. Links between blocks
 * stay inside a page, so that they hold whatever the page's linear address is.
 */
import { PAGE_SIZE } from '../../memory/layout.ts';
import { keyCodeSize, keyFlat, keyProtected, keyStackSize, MODE } from '../mode.ts';
import {
  type BlockWriterOptions,
  type CodePosition,
  createBlockWriter,
  type KnownInstruction,
  MODE_ALONE,
  MODE_SINGLE,
} from './block-writer.ts';
import { isComputedJump } from './builder.ts';
import { JUMP_TARGETS, LINK_OUTSIDE, RECORD, RECORD_SIZE } from './record.ts';
import type { ShapeMode } from './shape.ts';

/** Instructions decoded before the core is first made, and how many times as many before it is made anew. */
const CORE_AFTER = 25_000;
const CORE_GROWTH = 4;

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

/** What a block was decoded from, in straight line: up to a jump, even if the block goes on behind it. */
export interface KnownCode {
  readonly block: Block;
  readonly instructions: readonly KnownInstruction[];
  /** The bytes of these instructions. */
  readonly bytes: Uint8Array;
  /** Low halves of the addresses that a computed jump at its end went to. */
  readonly targets: readonly number[];
  /** What the block has behind the jump. */
  readonly rest: (() => KnownCode) | undefined;
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
   * The first instructions of a block that was made before, as far as they are some. Their offsets count from `distance`
   * pages before its page.
   */
  describe(page: number, offset: number, modeKey: number, distance: number): KnownCode | undefined;
  /** Whether a page has these bytes from an offset on. */
  has(page: number, offset: number, expected: Uint8Array): boolean;
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
  readonly stats: Readonly<Record<'blocks' | 'instructions' | 'invalidated' | 'flushes', number>>;
}

export interface BlockCacheOptions extends BlockWriterOptions {
  /** Number of the vCPU whose cache it is. */
  readonly holder: number;
  /** Instructions decoded before the core is first made; `CORE_AFTER` if absent. */
  readonly coreAfter?: number | undefined;
  /** Addresses that were looked up before may now lead elsewhere. */
  forgetJumps(): void;
  /** Records have become exits: whatever leads to them finds that out by itself, but not what runs already. */
  codeDropped(): void;
}

interface CodePage {
  readonly blocks: Map<number, Block>;
  /** Blocks of the page before whose last instruction ends here. */
  readonly entering: Set<Block>;
}

function shapeMode(key: number, shared: boolean): ShapeMode {
  return {
    codeSize: keyCodeSize(key),
    stackSize: keyStackSize(key),
    protected: keyProtected(key),
    shared: shared && (key & MODE_ALONE) === 0,
    flatSegments: [0, 1, 2, 3, 4, 5].map((segment) => keyFlat(key, segment)),
  };
}

export function createBlockCache(options: BlockCacheOptions): BlockCache {
  const { buffer, map, handlers, coreAfter = CORE_AFTER } = options;
  const data = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  const writer = createBlockWriter({
    ...options,
    recordAt({ page, modeKey, limit }, offset) {
      const block = pages.get(page)?.blocks.get(blockKey(offset, modeKey));
      return block?.linkable && block.limit === limit ? block.record : 0;
    },
    reads: (page) => void codePage(page),
  });
  const pages = new Map<number, CodePage>();
  const modes = new Map<number, ShapeMode>();
  const stats = {
    blocks: 0,
    invalidated: 0,
    flushes: 0,
    get instructions() {
      return writer.instructions;
    },
  };

  let coreDue = coreAfter;

  /** The handler of a block's first instruction, by itself. */
  const handlerOf = ({ record }: Block): number => handlers.alone(data.getUint16(record + RECORD.handler, true));

  const blockKey = (offset: number, modeKey: number) => (modeKey & BLOCK_MODE) * PAGE_SIZE + offset;

  function modeOf(key: number): ShapeMode {
    const masked = key & BLOCK_MODE;
    let mode = modes.get(masked);
    if (mode === undefined) {
      mode = shapeMode(masked, options.shared === true);
      modes.set(masked, mode);
    }
    return mode;
  }

  function codePage(page: number): CodePage {
    let entry = pages.get(page);
    if (entry === undefined) {
      entry = { blocks: new Map(), entering: new Set() };
      pages.set(page, entry);
      map.holdCode(page, options.holder);
    }
    return entry;
  }

  /** Forgets a page of which nothing is decoded. */
  function leave(page: number): void {
    const entry = pages.get(page);
    if (entry === undefined || entry.blocks.size + entry.entering.size > 0) return;
    pages.delete(page);
    map.releaseCode(page, options.holder);
  }

  /** Makes the core anew when so much more was decoded that other instructions may be usual. */
  function refreshCore(): void {
    if (writer.instructions < coreDue) return;
    coreDue = CORE_GROWTH * writer.instructions;
    const numbers = handlers.gather(writer.countHandlers());
    if (numbers !== undefined) writer.renumber(numbers);
  }

  function build(position: CodePosition): Block | undefined {
    refreshCore();
    if (!writer.hasRoom()) {
      stats.flushes++;
      cache.clear();
    } else if (handlers.full()) {
      stats.flushes++;
      cache.clear();
      handlers.clear();
      writer.forgetHandlers();
      coreDue = writer.instructions + coreAfter;
    }
    const key = blockKey(position.offset, position.modeKey);
    const replaced = pages.get(position.page)?.blocks.get(key);
    if (replaced !== undefined) {
      remove(replaced);
      options.codeDropped();
    }
    const written = writer.write(position, modeOf(position.modeKey));
    if (written === undefined) {
      leave(position.page);
      return undefined;
    }
    handlers.publish();
    const translatable = (position.modeKey & (MODE_SINGLE | MODE.debug)) === 0 && !options.separates(position.offset);
    // Without a spread: there are tens of thousands, and what is spread is stored apart.
    const block: Block = {
      page: position.page,
      key,
      record: written.record,
      records: written.records,
      start: position.offset,
      end: written.end,
      nextPage: written.nextPage,
      coveredBy: undefined,
      region: undefined,
      limit: position.limit,
      translatable,
      linkable: translatable && written.nextPage < 0,
    };
    codePage(position.page).blocks.set(key, block);
    if (block.nextPage >= 0) codePage(block.nextPage).entering.add(block);
    stats.blocks++;
    return block;
  }

  /** Where the computed jump went that has a record. */
  function notedTargets(record: number): number[] {
    const place = data.getUint32(record + RECORD.targets, true);
    if (place === 0) return [];
    return [...new Uint32Array(buffer, place, JUMP_TARGETS)].filter((target) => target !== 0);
  }

  /** What a block has from its record number `first` on, whose bytes begin at `start` of its code. */
  function describe(block: Block, code: Uint8Array, origin: number, start: number, first: number): KnownCode {
    const mode = modeOf(modeKeyOf(block));
    const end = block.nextPage >= 0 ? 1 : block.end;
    const instructions: KnownInstruction[] = [];
    let record = block.record + first * RECORD_SIZE;
    let at = start;
    while (at < end) {
      const known = writer.know(code, at, record, mode, origin);
      if (known === undefined) break;
      const { length, encoding } = known.instruction;
      instructions.push(known);
      at += length;
      if (encoding.definition.ends === true) {
        const targets = isComputedJump(encoding) ? notedTargets(record) : [];
        const next = first + instructions.length;
        const behind = at;
        const rest = at < end ? () => describe(block, code, origin, behind, next) : undefined;
        return { block, instructions, bytes: code.slice(start, at), targets, rest };
      }
      record += RECORD_SIZE;
    }
    return { block, instructions, bytes: code.slice(start, at), targets: [], rest: undefined };
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
    leave(block.page);
    leave(block.nextPage);
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
      const code = crosses ? writer.joinPages(page, offset, block.nextPage) : bytes.subarray(host, host + PAGE_SIZE);
      return describe(block, code, distance * PAGE_SIZE + (crosses ? offset : 0), crosses ? 0 : offset, 0);
    },
    has(page, offset, expected) {
      const host = map.readable(page);
      return host !== 0 && expected.every((byte, i) => bytes[host + offset + i] === byte);
    },
    interpreterOf: (block) => block.region?.interpreter ?? handlerOf(block),
    replace(block, region, dropped) {
      if (![block, ...region.sources].every(isAlive)) return false;
      block.region = { ...region, interpreter: handlerOf(block), dropped };
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
      for (const page of pages.keys()) map.releaseCode(page, options.holder);
      for (const { blocks } of pages.values()) for (const block of blocks.values()) dropRegion(block);
      pages.clear();
      writer.clear();
      options.forgetJumps();
    },
  };
  return cache;
}
