/** Finds what to translate together: blocks that were executed and can be reached from a hot one by direct jumps. */
import type { Instruction } from '../../isa/instruction.ts';
import { PAGE_SIZE } from '../../memory/layout.ts';
import type { KnownInstruction } from '../interpreter/block-writer.ts';
import type { Block, KnownCode } from '../interpreter/blocks.ts';
import { CELL_PAGES } from './cell.ts';
import { type Copies, createCopies, isReturn, offsetAt, shiftAt } from './inlining.ts';
import { resumes, transfers } from './system.ts';

/** Most blocks and instructions in a region. */
export const REGION_BLOCKS = 96;
export const REGION_INSTRUCTIONS = 400;

/** Linear pages around its own in which a region may have code without regard to how many it has. */
const REACH = 8;

/** A decoded instruction. Offsets count from the start of the page that the region is entered in. */
export interface RegionInstruction {
  readonly instruction: Instruction;
  readonly offset: number;
}

/**
 * Why a block ends: a relative jump, a call (or a jump out of a callee that is part of the region, to code that returns where
 * the callee does), a return or jump to an address that is computed, what cannot be translated,
 * a call of code that is part of the region and the return from there (`enters`, `returns`, see `inlining.ts`), a change of
 * what may be done (`resumes`) or of the mode (`transfer`, see `system.ts`), or just because what follows is a
 * block of its own. `switch` is no code of the guest: see `SWITCH`.
 */
export type BlockEnding =
  | 'jump'
  | 'conditional'
  | 'call'
  | 'enters'
  | 'returns'
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

/** A run of instructions with one entry. Where it lies, ends and goes on are places, see `inlining.ts`. */
export interface RegionBlock {
  readonly offset: number;
  readonly instructions: readonly RegionInstruction[];
  /** The bytes of these. */
  readonly bytes: Uint8Array;
  /** Place after the last instruction. */
  readonly end: number;
  readonly ending: BlockEnding;
  /** Blocks that it may go on to, by place; what leaves the region is not listed. */
  readonly successors: readonly number[];
  /** The conditional jump at its end is seldom taken. */
  readonly seldom: boolean;
}

export interface Region {
  /** By place, the entry first. */
  readonly blocks: ReadonlyMap<number, RegionBlock>;
  /** The interpreter's blocks that it was made from. */
  readonly sources: ReadonlySet<Block>;
}

export interface RegionSource {
  /** What was executed from an offset on, in straight line. */
  find(offset: number): KnownCode | undefined;
  translatable(instruction: Instruction): boolean;
  /** Where jumps that were taken less often lead is left out, unless something else leads there. */
  readonly leastTaken: number;
  /** Whether what follows is to be left to a region that begins there already. */
  stopsAt(code: KnownCode): boolean;
  /** Offsets that a computed jump at the end of some code went to. */
  targets(code: KnownCode): readonly number[];
}

type Cut = Omit<RegionBlock, 'offset' | 'bytes' | 'instructions'> & {
  readonly instructions: readonly KnownInstruction[];
};

/** What a block mostly goes on to. */
const usual = ({ successors, seldom }: Cut): readonly number[] => (seldom ? successors.slice(1) : successors);

function ended(instructions: readonly KnownInstruction[], end: number, leastTaken: number): Cut {
  const { target, taken, instruction } = instructions[instructions.length - 1];
  const { definition } = instruction.encoding;
  const { name } = definition;
  const common = { instructions, end, seldom: false };
  if (resumes(definition)) return { ...common, ending: 'resumes', successors: [end] };
  if (transfers(definition)) return { ...common, ending: 'transfer', successors: [] };
  if (name === 'call') return { ...common, ending: 'call', successors: [end] };
  if (target === undefined) return { ...common, ending: 'dynamic', successors: [] };
  if (name === 'jmp') return { ...common, ending: 'jump', successors: [target] };
  return { ...common, ending: 'conditional', successors: [target, end], seldom: taken < leastTaken };
}

/** Cuts what is known into one block, which ends before any other. */
function cut(code: KnownCode, source: RegionSource, startsAt: (offset: number) => boolean): Cut {
  const taken: KnownInstruction[] = [];
  for (const item of code.instructions) {
    const { instruction, offset } = item;
    if (taken.length > 0 && startsAt(offset)) {
      return { instructions: taken, end: offset, ending: 'falls', successors: [offset], seldom: false };
    }
    if (!source.translatable(instruction)) {
      return { instructions: taken, end: offset, ending: 'leaves', successors: [], seldom: false };
    }
    taken.push(item);
    const end = offset + instruction.length;
    if (instruction.encoding.definition.ends === true) return ended(taken, end, source.leastTaken);
  }
  const last = taken[taken.length - 1];
  const end = last === undefined ? 0 : last.offset + last.instruction.length;
  return { instructions: taken, end, ending: 'falls', successors: [end], seldom: false };
}

const nowhere = () => false;
const pageOf = (offset: number): number => Math.floor(offset / PAGE_SIZE);

/** The region that is entered at offset `entry`; `undefined` where its first instruction cannot be translated. */
export function formRegion(entry: number, source: RegionSource): Region | undefined {
  const known = new Map<number, KnownCode>();
  /** What the interpreter's blocks have behind their conditional jumps, by offset. */
  const rests = new Map<number, () => KnownCode>();
  const callees = new Map<number, KnownCode | undefined>();
  const find = (offset: number, copied: boolean): KnownCode | undefined => {
    if (!copied) return source.find(offset);
    if (!callees.has(offset)) callees.set(offset, source.find(offset));
    return callees.get(offset);
  };
  const lookUp = (offset: number, copied: boolean): KnownCode | undefined => {
    const own = find(offset, copied);
    if (!copied && offset !== entry && own !== undefined && source.stopsAt(own)) return undefined;
    const code = own ?? rests.get(offset)?.();
    if (code?.rest !== undefined) {
      const { instruction, offset: last } = code.instructions[code.instructions.length - 1];
      rests.set(last + instruction.length, code.rest);
    }
    return code;
  };
  const copies = createCopies(entry, (offset) => {
    const code = lookUp(offset, true);
    if (code === undefined) return undefined;
    const block = cut(code, source, nowhere);
    return { ...block, successors: usual(block) };
  });
  const waiting = [entry];
  const pages = new Set<number>();
  let count = 0;
  for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
    if (known.has(place)) continue;
    if (known.size >= REGION_BLOCKS || count >= REGION_INSTRUCTIONS) break;
    const shift = shiftAt(place);
    if (shift === 0 && isFar(place) && !fewPages(pages, [place])) continue;
    const code = lookUp(offsetAt(place), shift !== 0);
    if (code === undefined || code.instructions.length === 0) continue;
    const block = cut(code, source, nowhere);
    if (block.instructions.length === 0) continue;
    count += block.instructions.length;
    known.set(place, code);
    pages.add(pageOf(offsetAt(place)));
    const callee = block.ending === 'call' ? block.instructions[block.instructions.length - 1].target : undefined;
    if (callee !== undefined) {
      const fits = (offsets: readonly number[]) => fewPages(pages, offsets);
      const copy = copies.make(block.end + shift, callee, REGION_INSTRUCTIONS - count, fits);
      if (copy !== undefined) waiting.push(copy);
    }
    waiting.push(...usual(block).map((offset) => offset + shift));
    if (block.ending === 'dynamic' && shift === 0) waiting.push(...source.targets(code));
  }
  if (!known.has(entry)) return undefined;
  return { blocks: connect(known, source, copies), sources: new Set([...known.values()].map(({ block }) => block)) };
}

/** Whether code lies so far from the entry that it only belongs to the region if that has few pages. */
const isFar = (offset: number): boolean => Math.abs(pageOf(offset)) > REACH;

/** Whether the pages that a region has, and the offsets that are to come in, are in few enough pages. */
function fewPages(there: ReadonlySet<number>, coming: readonly number[]): boolean {
  const pages = new Set([...there, ...coming.map(pageOf)]);
  pages.delete(0);
  return pages.size <= CELL_PAGES;
}

/** The blocks of a region, each with what it goes on to. */
function connect(
  known: ReadonlyMap<number, KnownCode>,
  source: RegionSource,
  copies: Copies,
): Map<number, RegionBlock> {
  const blocks = new Map<number, RegionBlock>();
  const targets = new Set<number>();
  for (const [place, code] of known) {
    const shift = shiftAt(place);
    const block = cut(code, source, (offset) => known.has(offset + shift));
    const end = block.end + shift;
    const bytes = end - place === code.bytes.length ? code.bytes : code.bytes.subarray(0, end - place);
    const common = { ...block, bytes, offset: place, end };
    const copy = block.ending === 'call' ? copies.known(end) : undefined;
    const back = block.ending === 'dynamic' ? copies.returnOf(place) : undefined;
    if (copy !== undefined && known.has(copy)) {
      blocks.set(place, { ...common, ending: 'enters', successors: [copy] });
    } else if (back !== undefined && known.has(back)) {
      // What a copy jumps to returns where the copy would.
      const ending = isReturn(block.instructions) ? 'returns' : 'call';
      blocks.set(place, { ...common, ending, successors: [back] });
    } else {
      const jumps = block.ending === 'dynamic' && shift === 0;
      const computed = jumps ? source.targets(code).filter((next) => known.has(next)) : [];
      for (const target of computed) targets.add(target);
      const there = block.successors.map((offset) => offset + shift).filter((next) => known.has(next));
      blocks.set(place, { ...common, successors: computed.length > 0 ? [SWITCH] : there });
    }
  }
  if (targets.size > 0) {
    blocks.set(SWITCH, {
      offset: SWITCH,
      instructions: [],
      bytes: new Uint8Array(),
      end: SWITCH,
      ending: 'switch',
      successors: [...targets].sort((a, b) => a - b),
      seldom: false,
    });
  }
  return blocks;
}
