/** Finds what to translate together: blocks that were executed and can be reached from a hot one by direct jumps. */
import type { Instruction } from '../../isa/instruction.ts';
import type { Block, KnownCode } from '../interpreter/blocks.ts';
import { resumes, transfers } from './system.ts';

/** Most blocks and instructions in a region. */
export const REGION_BLOCKS = 96;
export const REGION_INSTRUCTIONS = 400;

/** A decoded instruction. Offsets count from the start of the page that the region is entered in. */
export interface RegionInstruction {
  readonly instruction: Instruction;
  readonly offset: number;
}

/**
 * Why a block ends: a relative jump, a call, a return or jump to an address that is computed, what cannot be translated,
 * a change of what may be done (`resumes`) or of the mode (`transfer`, see `system.ts`), or just because what follows is a
 * block of its own. `switch` is no code of the guest: see `SWITCH`.
 */
export type BlockEnding =
  | 'jump'
  | 'conditional'
  | 'call'
  | 'dynamic'
  | 'leaves'
  | 'resumes'
  | 'transfer'
  | 'falls'
  | 'switch';

/**
 * Offset of the one block that all computed jumps of a region go through, which finds out whether they stay in it. With
 * one such place the loops of an interpreter, whose every operation jumps to every other, have one header.
 */
export const SWITCH = Number.NEGATIVE_INFINITY;

/** A run of instructions with one entry. */
export interface RegionBlock {
  readonly offset: number;
  readonly instructions: readonly RegionInstruction[];
  /** The bytes of these. */
  readonly bytes: Uint8Array;
  /** Offset after the last instruction. */
  readonly end: number;
  readonly ending: BlockEnding;
  /** Blocks that it may go on to, by offset; what leaves the region is not listed. */
  readonly successors: readonly number[];
}

export interface Region {
  /** By offset, the entry first. */
  readonly blocks: ReadonlyMap<number, RegionBlock>;
  /** The interpreter's blocks that it was made from. */
  readonly sources: ReadonlySet<Block>;
}

export interface RegionSource {
  /** What was executed from an offset on, in straight line. */
  find(offset: number): KnownCode | undefined;
  translatable(instruction: Instruction): boolean;
  /** Whether what follows is to be left to a region that begins there already. */
  stopsAt(code: KnownCode): boolean;
  /** Offsets that a computed jump at the end of some code went to. */
  targets(code: KnownCode): readonly number[];
}

/** Offset that a relative jump or call leads to; `undefined` for other instructions. */
export function relativeTarget({ instruction, offset }: RegionInstruction): number | undefined {
  const operand = instruction.operands[0];
  return operand?.kind === 'relative' ? offset + instruction.length + operand.value : undefined;
}

type Cut = Omit<RegionBlock, 'offset' | 'bytes'>;

function ended(taken: readonly RegionInstruction[], end: number): Cut {
  const last = taken[taken.length - 1];
  const { definition } = last.instruction.encoding;
  const { name } = definition;
  if (resumes(definition)) return { instructions: taken, end, ending: 'resumes', successors: [end] };
  if (transfers(definition)) return { instructions: taken, end, ending: 'transfer', successors: [] };
  const target = relativeTarget(last);
  if (name === 'call') return { instructions: taken, end, ending: 'call', successors: [end] };
  if (target === undefined) return { instructions: taken, end, ending: 'dynamic', successors: [] };
  if (name === 'jmp') return { instructions: taken, end, ending: 'jump', successors: [target] };
  return { instructions: taken, end, ending: 'conditional', successors: [target, end] };
}

/** Cuts what is known into one block, which ends before any other block of `starts`. */
function cut(code: KnownCode, source: RegionSource, starts: ReadonlySet<number>): Cut {
  const taken: RegionInstruction[] = [];
  for (const item of code.instructions) {
    const { instruction, offset } = item;
    if (taken.length > 0 && starts.has(offset)) {
      return { instructions: taken, end: offset, ending: 'falls', successors: [offset] };
    }
    if (!source.translatable(instruction)) {
      return { instructions: taken, end: offset, ending: 'leaves', successors: [] };
    }
    taken.push(item);
    const end = offset + instruction.length;
    if (instruction.encoding.definition.ends === true) return ended(taken, end);
  }
  const last = taken[taken.length - 1];
  const end = last === undefined ? 0 : last.offset + last.instruction.length;
  return { instructions: taken, end, ending: 'falls', successors: [end] };
}

/** What the interpreter's blocks have behind their conditional jumps, by offset. */
function noteRests(rests: Map<number, KnownCode>, { block, instructions, bytes, targets }: KnownCode): void {
  instructions.forEach(({ offset }, i) => {
    const ends = i > 0 && instructions[i - 1].instruction.encoding.definition.ends === true;
    if (!ends || rests.has(offset)) return;
    const rest = bytes.subarray(offset - instructions[0].offset);
    rests.set(offset, { block, instructions: instructions.slice(i), bytes: rest, targets });
  });
}

/** The region that is entered at offset `entry`; `undefined` where its first instruction cannot be translated. */
export function formRegion(entry: number, source: RegionSource): Region | undefined {
  const known = new Map<number, KnownCode>();
  const rests = new Map<number, KnownCode>();
  const nowhere = new Set<number>();
  const waiting = [entry];
  let count = 0;
  for (let offset = waiting.shift(); offset !== undefined; offset = waiting.shift()) {
    if (known.has(offset)) continue;
    if (known.size >= REGION_BLOCKS || count >= REGION_INSTRUCTIONS) break;
    const own = source.find(offset);
    const code = own ?? rests.get(offset);
    if (code === undefined || code.instructions.length === 0) continue;
    if (offset !== entry && own !== undefined && source.stopsAt(own)) continue;
    noteRests(rests, code);
    const block = cut(code, source, nowhere);
    if (block.instructions.length === 0) continue;
    count += block.instructions.length;
    known.set(offset, code);
    waiting.push(...block.successors);
    if (block.ending === 'dynamic') waiting.push(...source.targets(code));
  }
  if (!known.has(entry)) return undefined;
  const starts = new Set(known.keys());
  const blocks = new Map<number, RegionBlock>();
  const targets = new Set<number>();
  for (const [offset, code] of known) {
    const block = cut(code, source, starts);
    const computed = block.ending === 'dynamic' ? source.targets(code).filter((next) => starts.has(next)) : [];
    for (const target of computed) targets.add(target);
    const successors = computed.length > 0 ? [SWITCH] : block.successors.filter((next) => starts.has(next));
    blocks.set(offset, { ...block, bytes: code.bytes.subarray(0, block.end - offset), offset, successors });
  }
  if (targets.size > 0) {
    blocks.set(SWITCH, {
      offset: SWITCH,
      instructions: [],
      bytes: new Uint8Array(),
      end: SWITCH,
      ending: 'switch',
      successors: [...targets].sort((a, b) => a - b),
    });
  }
  return { blocks, sources: new Set([...known.values()].map(({ block }) => block)) };
}
