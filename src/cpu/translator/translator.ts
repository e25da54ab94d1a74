/** Translates hot code: forms a region, compiles it and puts it where the interpreter finds it. */
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
import { formRegion, type Region } from './region.ts';
import type { RegionTable } from './region-table.ts';
import { analyseReducible, nodesInLoops } from './structure.ts';
import { resumes, transfers } from './system.ts';
import { type RegionPlan, RegionWriter } from './writer.ts';

export interface Translator {
  /**
   * Translates what starts at a block, if that can be done. `ipBase`: instruction pointer at the start of its page.
   * `pageAt`: guest-physical page that is `distance` linear pages from the block's, or -1.
   */
  translate(block: Block, modeKey: number, ipBase: bigint, pageAt: (distance: number) => number): void;
  readonly stats: Record<string, number>;
}

/** Ends of blocks that a region knows how to continue from. */
const JUMPS = /^(jmp|j[a-z]+|call|ret|loop[a-z]*)$/;
/** What reaches for registers behind the builder's back. */
const LEFT_OUT = /^(pusha|popa|enter|xlat|bound|rdrand|rdseed|ins[bwd]|outs[bwd])$/;
const STRING = /^(movs|stos|lods|scas|cmps)[bwdq]$/;
/** What accesses memory in a segment that may be overridden, without an operand that says so. */
const IMPLICIT = /^((movs|lods|cmps)[bwdq]|maskmov.*)$/;

/** Linear pages around its own that a region may reach; copies of callees come from anywhere. */
const REACH = 8;

/**
 * Instructions of a region that others may contain again. A larger one is left for by a jump, or a large function would be
 * translated again and again for every place in it that is returned to.
 */
const REPEATED = 48;

/** First guess at the bytes of a frame: for each instruction, and beside them. */
const FRAME_GUESS = { instruction: 16, fixed: 512 } as const;
/** A region whose frame takes more would use up the stack of a host thread in a few calls. */
const FRAME_LIMIT = 32 * 1024;

/** Whether a data access through a memory operand needs no check of its segment. Protected mode never writes through CS. */
function flatOperands(instruction: Instruction, mode: ShapeMode): boolean {
  const flat = (segment: number) => mode.flatSegments[segment] && (mode.codeSize === 8 || segment !== SEGMENT.cs);
  return instruction.operands.every((o) => o.kind !== 'memory' || flat(o.segment));
}

/** Whether a jump's target is cut to less than the instruction pointer. */
function cutsTarget(instruction: Instruction, mode: ShapeMode): boolean {
  return instruction.operands.some((o) => o.kind === 'relative' && o.size < mode.codeSize);
}

/** General registers that a region loads from memory. */
function registersLoaded({ blocks }: Region): Set<number> {
  const loaded = new Set<number>();
  for (const { instructions } of blocks.values()) {
    for (const { instruction } of instructions) {
      const [to, from] = instruction.operands;
      const isLoad = instruction.encoding.definition.name === 'mov' && from?.kind === 'memory';
      if (isLoad && to.kind === 'gpr' && to.size >= 4) loaded.add(to.index);
    }
  }
  return loaded;
}

/** Begins a region. */
export type WriterFactory = (...args: ConstructorParameters<typeof RegionWriter>) => RegionWriter;

export function createTranslator(
  blocks: BlockCache,
  handlers: Handlers,
  table: RegionTable,
  cache: CodeCache,
  /** Definitions that touch nothing but registers, flags and memory. */
  plain: ReadonlySet<Definition>,
  now: () => number,
  begin: WriterFactory = (...args) => new RegionWriter(...args),
): Translator {
  const stats = {
    regions: 0,
    'regions dropped': 0,
    'translated instructions': 0,
    'code bytes': 0,
    'compile time: forming': 0,
    'compile time: building': 0,
    'compile time: encoding': 0,
    'compile time: WebAssembly': 0,
  };
  /** Blocks that no region can be entered at. */
  const refused = new WeakSet<Block>();

  function translatable(instruction: Instruction, modeKey: number, mode: ShapeMode): boolean {
    const { definition } = instruction.encoding;
    const { name, unit, ends } = definition;
    if (!plain.has(definition) || LEFT_OUT.test(name)) return false;
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

  function plan(region: Region, mode: ShapeMode): Omit<RegionPlan, 'cell' | 'checked' | 'interpreter' | 'frame'> {
    const list = [...region.blocks.values()];
    const index = new Map(list.map((block, i) => [block.offset, i]));
    const successors = list.map((block) => block.successors.map((target) => index.get(target) as number));
    const { graph, structure } = analyseReducible({ successors });
    const inLoop = nodesInLoops(graph, structure);
    const loadedRegisters = registersLoaded(region);
    return { mode, blocks: list, graph, structure, inLoop, loadedRegisters };
  }

  /** Writes and compiles a region; once more if its frame turns out larger than was thought. */
  function compile(region: Region, mode: ShapeMode, interpreter: number, cell: number, checked: boolean) {
    const common = { ...plan(region, mode), cell, checked, interpreter };
    let count = 0;
    for (const { instructions } of region.blocks.values()) count += instructions.length;
    let frame = FRAME_GUESS.fixed + FRAME_GUESS.instruction * count;
    while (frame <= FRAME_LIMIT) {
      const started = now();
      const writer = begin(handlers.signatureOf, handlers.helperOf, { ...common, frame });
      writer.write();
      const built = now();
      const installed = handlers.install(writer, frame);
      const encoded = now() - built - installed.compileTime;
      stats['compile time: building'] += built - started;
      stats['compile time: encoding'] += encoded;
      stats['compile time: WebAssembly'] += installed.compileTime;
      if (installed.index !== 0) return { installed, cells: writer.cells };
      if (installed.frameBytes <= frame) return undefined;
      frame = installed.frameBytes;
    }
    return undefined;
  }

  /** Pages beside the entry's that a region has code in: distance and guest-physical page. */
  function otherPages({ blocks: parts }: Region, pageAt: (distance: number) => number): Map<number, number> {
    const pages = new Map<number, number>();
    const note = (offset: number) => {
      const distance = Math.floor(offset / PAGE_SIZE);
      if (distance !== 0) pages.set(distance, pageAt(distance));
    };
    for (const { instructions } of parts.values()) {
      for (const { offset, instruction } of instructions) {
        note(offset);
        note(offset + instruction.length - 1);
      }
    }
    return pages;
  }

  return {
    stats,
    translate(block, modeKey, ipBase, pageAt) {
      const mode = blocks.modeOf(modeKey);
      if (block.region !== undefined || refused.has(block) || !block.translatable) return;
      refused.add(block);
      if (mode.codeSize === 2 || !mode.flatSegments.slice(0, 4).every(Boolean)) return;
      const started = now();
      const low = Number(BigInt.asIntN(32, ipBase));
      const region = formRegion(block.start, {
        find(offset, copied) {
          const distance = Math.floor(offset / PAGE_SIZE);
          if (!copied && Math.abs(distance) > REACH) return undefined;
          const page = distance === 0 ? block.page : pageAt(distance);
          const known = page < 0 ? undefined : blocks.describe(page, offset - distance * PAGE_SIZE, modeKey, distance);
          if (known === undefined) return undefined;
          const { nextPage } = known.block;
          return nextPage < 0 || nextPage === pageAt(distance + 1) ? known : undefined;
        },
        stopsAt: ({ block: { region: other } }) => other !== undefined && other.instructions > REPEATED,
        targets: (code) => code.targets.map((target) => (target - low) | 0),
        translatable: (instruction) => translatable(instruction, modeKey, mode),
      });
      stats['compile time: forming'] += now() - started;
      if (region === undefined) return;
      const pages = otherPages(region, pageAt);
      const cell = cache.reserve(cellsFor(region.blocks.size));
      if (cell === 0) return;
      const interpreter = blocks.interpreterOf(block);
      const made = compile(region, mode, interpreter, cell, pages.size > 0);
      if (made === undefined) {
        table.release(cell);
        return;
      }
      const { index: handler, codeBytes } = made.installed;
      const dropped = () => {
        stats['regions dropped']++;
        handlers.release(handler);
        table.release(cell);
      };
      let instructions = 0;
      for (const part of region.blocks.values()) instructions += part.instructions.length;
      table.trim(cell, made.cells);
      table.enter(cell, { block, handler, pages, codeBytes });
      refused.delete(block);
      // The search for pages may have set accessed bits, and so changed the code that the region was made of.
      if (!blocks.replace(block, { sources: region.sources, handler, instructions }, dropped)) {
        dropped();
        return;
      }
      stats.regions++;
      stats['translated instructions'] += instructions;
      stats['code bytes'] += codeBytes;
    },
  };
}
