/** Translates hot code: forms a region, compiles it and puts it where the interpreter finds it. */
import type { Definition } from '../../isa/definition.ts';
import type { Instruction } from '../../isa/instruction.ts';
import type { Block, BlockCache } from '../interpreter/blocks.ts';
import type { Handlers } from '../interpreter/handlers.ts';
import type { ShapeMode } from '../interpreter/shape.ts';
import { keyUnitFault } from '../mode.ts';
import { formRegion } from './region.ts';
import { translateRegion } from './translate.ts';

export interface Translator {
  /** Translates what starts at a block, if that can be done. */
  translate(block: Block, modeKey: number): void;
  readonly stats: { regions: number; 'translated instructions': number; 'compile time (ms)': number };
}

/** Ends of blocks that a region knows how to continue from. */
const JUMPS = /^(jmp|j[a-z]+|call|ret|loop[a-z]*)$/;
/** What runs many steps, or reaches for registers behind the builder's back. */
const LEFT_OUT = /^(movs|stos|lods|scas|cmps|ins|outs|pusha|pushad|popa|popad|enter|xlat|bound|rdrand|rdseed)[bwdq]?$/;

/** Whether a data access through a memory operand needs no check of its segment. */
function flatOperands(instruction: Instruction, mode: ShapeMode): boolean {
  return instruction.operands.every((o) => o.kind !== 'memory' || mode.flatSegments[o.segment]);
}

export function createTranslator(
  blocks: BlockCache,
  handlers: Handlers,
  /** Definitions that touch nothing but registers, flags and memory. */
  plain: ReadonlySet<Definition>,
  now: () => number,
): Translator {
  const stats = { regions: 0, 'translated instructions': 0, 'compile time (ms)': 0 };
  const tried = new WeakSet<Block>();

  function translatable(instruction: Instruction, modeKey: number, mode: ShapeMode): boolean {
    const { definition } = instruction.encoding;
    const { name, unit, ends } = definition;
    if (!plain.has(definition) || LEFT_OUT.test(name)) return false;
    if (ends === true && !JUMPS.test(name)) return false;
    // MMX instructions may have to wait for a pending x87 error.
    if (unit === 'mmx' || unit === 'x87') return false;
    if (unit !== undefined && keyUnitFault(modeKey, unit) !== undefined) return false;
    return flatOperands(instruction, mode);
  }

  return {
    stats,
    translate(block, modeKey) {
      const mode = blocks.modeOf(modeKey);
      if (tried.has(block) || !block.linkable) return;
      tried.add(block);
      if (mode.codeSize === 2 || !mode.flatSegments.slice(0, 4).every(Boolean)) return;
      const started = now();
      const region = formRegion(
        block.start,
        (offset) => blocks.describe(block.page, offset, modeKey),
        (instruction) => translatable(instruction, modeKey, mode),
      );
      if (region === undefined) return;
      const { signatureOf, helperOf } = handlers;
      const builder = translateRegion(region, { mode, signatures: signatureOf, helpers: helperOf });
      if (builder === undefined) return;
      const handler = handlers.install(builder);
      if (handler === 0) return;
      const sources = new Set([...region.values()].map((part) => part.source));
      blocks.replace(block, modeKey, sources, handler);
      stats.regions++;
      for (const part of region.values()) stats['translated instructions'] += part.instructions.length;
      stats['compile time (ms)'] += now() - started;
    },
  };
}
