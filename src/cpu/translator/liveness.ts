/** Which blocks must hand on their flags: those after which somebody reads them, or may show them to the guest. */
import type { Instruction } from '../../isa/instruction.ts';
import type { RegionBlock } from './region.ts';
import type { Graph, Structure } from './structure.ts';

const ALL = 'oszapc';

/** Instructions on general registers and constants that cannot fault and do not show the flags to anybody. */
const QUIET =
  /^(mov|movzx|movsx|movsxd|lea|add|sub|adc|sbb|and|or|xor|not|neg|inc|dec|cmp|test|imul|mul|shl|shr|sar|rol|ror|nop|jmp|j[a-z]+|set[a-z]+|cmov[a-z]+|cdq|cdqe|cqo|cwde|bswap|bt|bsf|bsr|popcnt|tzcnt|lzcnt|endbr64)$/;

function mayFault(instruction: Instruction): boolean {
  const { name } = instruction.encoding.definition;
  if (name === 'lea' || name === 'nop') return false;
  // MOV is also what reads control registers.
  return instruction.operands.some((o) => o.kind === 'memory' || o.kind === 'index') || !QUIET.test(name);
}

/** Whether the flags on entry to a run of instructions are needed in it; `undefined`: they pass through. */
function usesFlags(block: RegionBlock): boolean | undefined {
  let left = ALL;
  for (const { instruction } of block.instructions) {
    const { reads = '', writes = '' } = instruction.encoding.definition;
    if (mayFault(instruction)) return true;
    if ([...reads].some((flag) => left.includes(flag))) return true;
    // Flags that the manuals leave undefined may be made of those from before: a run must not depend on where blocks join.
    left = [...left].filter((flag) => !writes.includes(flag)).join('');
    if (left === '') return false;
  }
  return undefined;
}

/**
 * Positions of the blocks whose flags at the end are needed after it. `graph` has the edges that stay in the region,
 * `structure` says which of them go back: where an interrupt may see flags that the block did not set itself.
 */
export function flagsNeeded(
  blocks: readonly RegionBlock[],
  graph: Graph,
  { position }: Pick<Structure, 'position'>,
): ReadonlySet<number> {
  const index = new Map(blocks.map((block, i) => [block.offset, i]));
  const goesBack = (node: number) => graph.successors[node].some((next) => position[next] <= position[node]);
  const uses = blocks.map((block, node) => usesFlags(block) ?? (goesBack(node) ? true : undefined));
  const edges = blocks.map((block, node) =>
    ways(block).map((offset) => graph.successors[node].find((next) => next === index.get(offset))),
  );
  const live = new Set<number>();
  const needed = (node: number | undefined): boolean =>
    node === undefined || uses[node] === true || (uses[node] === undefined && live.has(node));
  for (let changed = true; changed; ) {
    changed = false;
    edges.forEach((targets, node) => {
      if (live.has(node) || !targets.some(needed)) return;
      live.add(node);
      changed = true;
    });
  }
  return live;
}

/** Every place that a block goes on to, outside the region too. */
function ways(block: RegionBlock): readonly number[] {
  if (block.ending === 'enters') return block.successors;
  if (['dynamic', 'returns', 'leaves', 'call', 'resumes', 'transfer', 'switch'].includes(block.ending)) return [-1];
  const last = block.instructions.at(-1);
  const operand = last?.instruction.operands[0];
  if (block.ending === 'falls' || operand?.kind !== 'relative') return [block.end];
  const target = block.end + operand.value;
  return block.ending === 'conditional' ? [target, block.end] : [target];
}
