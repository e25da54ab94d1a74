/** Translates hot code: forms regions, has them compiled and puts them where the interpreter finds them. */
import type { Definition } from '../../isa/definition.ts';
import type { Instruction } from '../../isa/instruction.ts';
import { SEGMENT } from '../../isa/state.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import type { Block, BlockCache } from '../interpreter/blocks.ts';
import type { Handlers } from '../interpreter/handlers.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import { keyUnitFault } from '../mode.ts';
import { cellsFor } from './cell.ts';
import type { CodeCache } from './code-cache.ts';
import type { CompilerPort, RegionReply, RegionRequest } from './compiler.ts';
import { offsetAt } from './inlining.ts';
import { formRegion, type Region } from './region.ts';
import type { RegionTable } from './region-table.ts';
import { resumes, transfers } from './system.ts';
import { createUnderWay, type Requested } from './under-way.ts';

/** Where hot code stands. */
export interface HotCode {
  readonly block: Block;
  readonly modeKey: number;
  /** Instruction pointer at the start of the block's page. */
  readonly ipBase: bigint;
  /** Guest-physical page that is `distance` linear pages from the block's, or -1. */
  pageAt(distance: number): number;
}

export interface Translator {
  /** Has what starts at a block translated, if that can be done. */
  translate(code: HotCode): void;
  /** Puts in place what was compiled since the last call. To be called while no instruction is under way. */
  collect(): void;
  stats(): Record<string, number>;
}

/** Ends of blocks that a region knows how to continue from. */
const JUMPS = /^(jmp|j[a-z]+|call|ret|loop[a-z]*)$/;
/** What reaches for registers behind the builder's back. */
const LEFT_OUT = /^(pusha|popa|enter|xlat|bound|rdrand|rdseed|ins[bwd]|outs[bwd])$/;
/** No atomic operation has its 16 bytes. */
const RUN_ALONE_ALWAYS = 'cmpxchg16b';
const STRING = /^(movs|stos|lods|scas|cmps)[bwdq]$/;
/** What accesses memory in a segment that may be overridden, without an operand that says so. */
const IMPLICIT = /^((movs|lods|cmps)[bwdq]|maskmov.*)$/;

/**
 * Instructions of a region that others may contain again. A larger one is left for by a jump, or a large function would be
 * translated again and again for every place in it that is returned to.
 */
const REPEATED = 180;

/** A jump that was taken less often than this part of the threshold leads to what seldom runs. */
const SELDOM = 64;

/** Whether a data access through a memory operand needs no check of its segment. Protected mode never writes through CS. */
function flatOperands(instruction: Instruction, mode: ShapeMode): boolean {
  const flat = (segment: number) => mode.flatSegments[segment] && (mode.codeSize === 8 || segment !== SEGMENT.cs);
  return instruction.operands.every((o) => o.kind !== 'memory' || flat(o.segment));
}

/** Whether a jump's target is cut to less than the instruction pointer. */
function cutsTarget(instruction: Instruction, mode: ShapeMode): boolean {
  return instruction.operands.some((o) => o.kind === 'relative' && o.size < mode.codeSize);
}

/** What a region asks of the compiler, but for what it is given by the vCPU. */
function describeRegion({ blocks }: Region): Pick<RegionRequest, 'blocks' | 'code'> {
  const list = [...blocks.values()];
  const code = new Uint8Array(list.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  const described = list.map(({ offset, bytes, ending, successors, seldom }) => {
    code.set(bytes, at);
    at += bytes.length;
    return { offset, length: bytes.length, ending, successors, seldom };
  });
  return { blocks: described, code };
}

/** Pages beside the entry's that a region has code in: distance and guest-physical page. */
function otherPages({ blocks }: Region, pageAt: (distance: number) => number): Map<number, number> {
  const pages = new Map<number, number>();
  for (const { instructions, bytes } of blocks.values()) {
    if (instructions.length === 0) continue;
    const [{ offset }] = instructions;
    const last = Math.floor((offset + bytes.length - 1) / PAGE_SIZE);
    for (let distance = Math.floor(offset / PAGE_SIZE); distance <= last; distance++)
      if (distance !== 0 && !pages.has(distance)) pages.set(distance, pageAt(distance));
  }
  return pages;
}

/** The same, which looks for each page once. */
function remembered(pageAt: (distance: number) => number): (distance: number) => number {
  const pages = new Map<number, number>();
  return (distance) => {
    let page = pages.get(distance);
    if (page === undefined) {
      page = pageAt(distance);
      pages.set(distance, page);
    }
    return page;
  };
}

function countInstructions({ blocks }: Region): number {
  let count = 0;
  for (const { instructions } of blocks.values()) count += instructions.length;
  return count;
}

export interface TranslatorParts {
  readonly blocks: BlockCache;
  readonly handlers: Handlers;
  readonly table: RegionTable;
  readonly cache: CodeCache;
  readonly compiler: CompilerPort;
  /** Definitions that touch nothing but registers, flags and memory. */
  readonly plain: ReadonlySet<Definition>;
  /** Counts visits to a block anew. `soon`: those at the instruction pointer where it was asked for need not be many. */
  cool(block: Block, ip: bigint, soon: boolean): void;
  /** As `VcpuEnvironment.aside`. */
  aside<T>(work: () => T): T;
  /** Times that code runs before it is translated. */
  readonly threshold: number;
  /** Host time in milliseconds, for statistics. */
  now(): number;
}

export function createTranslator(parts: TranslatorParts): Translator {
  const { blocks, handlers, table, cache, compiler, plain, cool, aside, now } = parts;
  const leastTaken = parts.threshold / SELDOM;
  const stats = {
    regions: 0,
    'regions compiled before': 0,
    'regions dropped': 0,
    'translated instructions': 0,
    'code bytes': 0,
    'translations put off': 0,
    'translations too late': 0,
    'compile time: forming': 0,
    'compile time: installing': 0,
    'translator time: building': 0,
    'translator time: encoding': 0,
    'translator time: WebAssembly': 0,
  };
  /** Blocks that no region can be entered at. */
  const refused = new WeakSet<Block>();
  const underWay = createUnderWay();
  /** Which instructions can be translated: those of one form and mode, of which there may be many, are one object here. */
  const answers = new WeakMap<Instruction, boolean>();

  function isTranslatable(instruction: Instruction, modeKey: number, mode: ShapeMode): boolean {
    const { definition } = instruction.encoding;
    const { name, unit, ends } = definition;
    if (!plain.has(definition) || LEFT_OUT.test(name)) return false;
    if (name === RUN_ALONE_ALWAYS && instruction.locked && mode.shared === true) return false;
    // SSE has a MOVSD and a CMPSD of its own, whose prefix is no repetition.
    if (unit === undefined && STRING.test(name) && instruction.repeat !== 0) return false;
    if (IMPLICIT.test(name) && mode.codeSize !== 8 && instruction.segmentOverride >= 0) return false;
    if (transfers(definition)) return mode.codeSize === 8;
    if (ends === true && !resumes(definition) && (!JUMPS.test(name) || cutsTarget(instruction, mode))) return false;
    // MMX instructions may have to wait for a pending x87 error.
    if (unit === 'mmx' || unit === 'x87') return false;
    if (unit !== undefined && keyUnitFault(modeKey, unit) !== undefined) return false;
    return flatOperands(instruction, mode);
  }

  function translatable(instruction: Instruction, modeKey: number, mode: ShapeMode): boolean {
    let answer = answers.get(instruction);
    if (answer === undefined) {
      answer = isTranslatable(instruction, modeKey, mode);
      answers.set(instruction, answer);
    }
    return answer;
  }

  function form({ block, modeKey, ipBase }: HotCode, mode: ShapeMode, pageAt: HotCode['pageAt']): Region | undefined {
    const low = Number(BigInt.asIntN(32, ipBase));
    return formRegion(block.start, {
      find(offset) {
        const distance = Math.floor(offset / PAGE_SIZE);
        const page = distance === 0 ? block.page : pageAt(distance);
        const known = page < 0 ? undefined : blocks.describe(page, offset - distance * PAGE_SIZE, modeKey, distance);
        if (known === undefined) return undefined;
        const { nextPage } = known.block;
        return nextPage < 0 || nextPage === pageAt(distance + 1) ? known : undefined;
      },
      leastTaken,
      stopsAt: ({ block: other }) => (other.region?.instructions ?? underWay.instructionsAt(other)) > REPEATED,
      targets: (code) => code.targets.map((target) => (target - low) | 0),
      translatable: (instruction) => translatable(instruction, modeKey, mode),
    });
  }

  /** Whether memory has the code of a region: others may have moved it while the region was formed aside. */
  function isThere({ blocks: list }: Region, pageOf: (distance: number) => number): boolean {
    for (const { offset: place, bytes } of list.values()) {
      for (let from = 0; from < bytes.length; ) {
        const at = offsetAt(place) + from;
        const distance = Math.floor(at / PAGE_SIZE);
        const piece = bytes.subarray(from, from + (distance + 1) * PAGE_SIZE - at);
        if (!blocks.has(pageOf(distance), at - distance * PAGE_SIZE, piece)) return false;
        from += piece.length;
      }
    }
    return true;
  }

  /** Asks for a region. There may be none at this block, or no room for it until others go, or code that changes just now. */
  function request(code: HotCode, mode: ShapeMode): 'asked' | 'none' | 'no room' {
    const { block, ipBase } = code;
    const pageAt = remembered(code.pageAt);
    const region = aside(() => form(code, mode, pageAt));
    if (region === undefined) return 'none';
    const pages = otherPages(region, pageAt);
    if (
      mode.shared === true &&
      !isThere(region, (distance) => (distance === 0 ? block.page : (pages.get(distance) ?? -1)))
    )
      return 'no room';
    const cell = cache.reserve(cellsFor(region.blocks.size));
    if (cell === 0) return 'no room';
    const index = handlers.reserve();
    if (index === 0) {
      table.release(cell);
      return 'no room';
    }
    const requested = {
      block,
      ip: ipBase + BigInt(block.start),
      sources: region.sources,
      instructions: countInstructions(region),
      pages,
      cell,
      index,
      generation: handlers.generation,
    };
    const id = underWay.add(requested);
    // Where several vCPUs share what is compiled, nothing in it may be one vCPU's own.
    const numbers = mode.shared === true ? undefined : { place: index, cell };
    compiler.post({ id, mode, ...describeRegion(region), checked: pages.size > 0, numbers });
    return 'asked';
  }

  /** Gives back what was reserved for a region. */
  function release({ cell, index, generation }: Requested): void {
    if (generation === handlers.generation) handlers.release(index);
    table.release(cell);
  }

  function install({ made }: RegionReply, requested: Requested): void {
    const { block, cell, index, pages, sources, instructions } = requested;
    if (made === undefined) {
      refused.add(block);
      release(requested);
      return;
    }
    const dropped = () => {
      stats['regions dropped']++;
      release(requested);
    };
    // Code may have changed since it was asked for, by the search for pages too, which sets accessed bits.
    if (!blocks.replace(block, { sources, handler: index, instructions }, dropped)) {
      stats['translations too late']++;
      release(requested);
      cool(block, requested.ip, false);
      return;
    }
    handlers.place({ place: index, cell }, made.module, made.imports);
    table.trim(cell, made.cells);
    const codeBytes = made.bytes.length;
    table.enter(cell, { block, handler: index, interpreter: blocks.interpreterOf(block), pages, codeBytes });
    stats.regions++;
    stats['translated instructions'] += instructions;
    stats['code bytes'] += codeBytes;
  }

  function collect(): void {
    for (;;) {
      const started = now();
      const reply = aside(compiler.take);
      if (reply === undefined) return;
      if (reply.again) stats['regions compiled before']++;
      install(reply, underWay.remove(reply.id));
      stats['compile time: installing'] += now() - started;
      stats['translator time: building'] += reply.times.building;
      stats['translator time: encoding'] += reply.times.encoding;
      stats['translator time: WebAssembly'] += reply.times.WebAssembly;
    }
  }

  return {
    collect,
    stats: () => ({ ...stats, 'translations under way': underWay.size }),
    translate(code) {
      const { block, modeKey, ipBase } = code;
      const mode = blocks.modeOf(modeKey);
      collect();
      if (block.region !== undefined || refused.has(block) || !block.translatable) return;
      if (mode.codeSize === 2 || !mode.flatSegments.slice(0, 4).every(Boolean)) return;
      // What is part of a region that comes may be entered through that one soon.
      let outcome: ReturnType<typeof request> = 'no room';
      if (!underWay.full && !underWay.includes(block)) {
        const started = now();
        outcome = request(code, mode);
        stats['compile time: forming'] += now() - started;
      }
      if (outcome === 'none') refused.add(block);
      else if (outcome === 'no room') {
        stats['translations put off']++;
        cool(block, ipBase + BigInt(block.start), true);
      } else collect();
    },
  };
}
