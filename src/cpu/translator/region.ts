/** Finds what to translate together: the blocks of one page that can be reached from a hot one without leaving it. */
import type { Instruction } from '../../isa/instruction.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import type { BlockInstruction, KnownBlock } from '../interpreter/blocks.ts';

/** Most blocks and instructions in a region. */
export const REGION_BLOCKS = 64;
export const REGION_INSTRUCTIONS = 600;

/** A run of instructions with one entry, which ends in a jump, in what cannot be translated, or before another block. */
export interface RegionBlock {
  readonly offset: number;
  readonly instructions: readonly BlockInstruction[];
  /** Offset of the interpreter's block that it was taken from. */
  readonly source: number;
  /** Instructions of the interpreter's block that come before the first. */
  readonly before: number;
  /** Offset after the last instruction. */
  readonly end: number;
  /** Blocks that it may go on to, by offset; what leaves the region is not listed. */
  readonly successors: readonly number[];
  /** Why it ends: a relative jump, another way to leave, or just because what follows is a block of its own. */
  readonly ending: 'jump' | 'conditional' | 'dynamic' | 'falls' | 'leaves';
}

/** Names of instructions whose meaning needs no more than registers, flags and memory. */
export type Translatable = (instruction: Instruction) => boolean;

function relativeTarget({ instruction, offset }: BlockInstruction): number | undefined {
  const operand = instruction.operands[0];
  if (operand?.kind !== 'relative' || instruction.encoding.definition.name === 'call') return undefined;
  return offset + instruction.length + operand.value;
}

function isConditional(instruction: Instruction): boolean {
  return instruction.encoding.definition.name !== 'jmp';
}

/** Cuts what is known from `offset` on into one block. */
function cut(known: KnownBlock, translatable: Translatable): Omit<RegionBlock, 'offset' | 'source' | 'before'> {
  const taken: BlockInstruction[] = [];
  for (const item of known.instructions) {
    const { instruction, offset } = item;
    if (!translatable(instruction)) return { instructions: taken, end: offset, successors: [], ending: 'leaves' };
    taken.push(item);
    const end = offset + instruction.length;
    if (instruction.encoding.definition.ends !== true) continue;
    const target = relativeTarget(item);
    if (target === undefined) return { instructions: taken, end, successors: [], ending: 'dynamic' };
    const conditional = isConditional(instruction);
    return {
      instructions: taken,
      end,
      successors: conditional ? [target, end] : [target],
      ending: conditional ? 'conditional' : 'jump',
    };
  }
  const last = taken.at(-1);
  const end = last === undefined ? 0 : last.offset + last.instruction.length;
  return { instructions: taken, end, successors: [end], ending: 'falls' };
}

/** The blocks of a region by offset, entry first; `undefined` where the entry cannot be translated. */
export function formRegion(
  entry: number,
  find: (offset: number) => KnownBlock | undefined,
  translatable: Translatable,
): Map<number, RegionBlock> | undefined {
  const blocks = new Map<number, RegionBlock>();
  const waiting = [entry];
  /** What the interpreter's blocks have behind their conditional jumps, by offset. */
  const rests = new Map<number, KnownBlock>();
  const noteRests = ({ start, instructions }: KnownBlock) => {
    instructions.forEach(({ offset }, i) => {
      const ends = i > 0 && instructions[i - 1].instruction.encoding.definition.ends === true;
      if (ends && !rests.has(offset)) rests.set(offset, { start, instructions: instructions.slice(i) });
    });
  };
  let count = 0;
  while (waiting.length > 0) {
    const offset = waiting.shift() as number;
    if (offset < 0 || offset >= PAGE_SIZE || blocks.has(offset)) continue;
    if (blocks.size >= REGION_BLOCKS || count >= REGION_INSTRUCTIONS) break;
    const known = find(offset) ?? rests.get(offset);
    if (known === undefined || known.instructions.length === 0) continue;
    noteRests(known);
    const block = { offset, source: known.start, before: known.instructions[0].count - 1, ...cut(known, translatable) };
    if (block.instructions.length === 0) continue;
    count += block.instructions.length;
    blocks.set(offset, block);
    waiting.push(...block.successors);
  }
  if (!blocks.has(entry)) return undefined;
  for (const [offset, block] of blocks) {
    blocks.set(offset, { ...block, successors: block.successors.filter((target) => blocks.has(target)) });
  }
  return blocks;
}
