/** What the processor reads from the current task-state segment (SDM vol. 3A 7.2.1, 7.7; vol. 1 18.5.2). */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { SEGMENT, type VcpuState, VECTOR } from '../isa/state.ts';
import { type AccessSize, type CpuContext, raise } from './context.ts';
import { selectorError } from './descriptor.ts';
import { ATTRIBUTE } from './mode.ts';

/** Offset of the interrupt stack table in a 64-bit TSS, less one entry: IST numbers start at 1. */
export const INTERRUPT_STACKS = 28;
/** Offset of the stack pointers of the inner levels in a 64-bit TSS. */
export const LEVEL_STACKS = 4;
/** Offset of the word that says where the I/O permission bitmap starts. */
const IO_MAP_BASE = 102;

/** Type of the TSS in TR without its busy bit: 1 for 16-bit, 9 for 32- and 64-bit. */
export function tssType(state: VcpuState): number {
  return state.segmentAttributes[SEGMENT.tr] & 0xd;
}

/** Reads from the current TSS; raises #TS(TR) beyond its limit. */
function readTss(context: CpuContext, offset: number, size: AccessSize, ext: number): bigint | undefined {
  const { state } = context;
  if (offset + size - 1 > state.segmentLimit[SEGMENT.tr]) {
    raise(state, VECTOR.ts, selectorError(state.segmentSelector[SEGMENT.tr], ext));
    return undefined;
  }
  return context.readLinear(state.segmentBase[SEGMENT.tr] + BigInt(offset), size, MEMORY_ACCESS.system);
}

/** SS and stack pointer for privilege level `level` (0–2) in a 16- or 32-bit TSS. */
export function readInnerStack(
  context: CpuContext,
  level: number,
  ext: number,
): { selector: number; pointer: bigint } | undefined {
  const wide = tssType(context.state) === 9;
  const at = wide ? level * 8 + 4 : level * 4 + 2;
  const pointer = readTss(context, at, wide ? 4 : 2, ext);
  if (pointer === undefined) return undefined;
  const selector = readTss(context, at + (wide ? 4 : 2), 2, ext);
  if (selector === undefined) return undefined;
  return { selector: Number(selector), pointer };
}

/** RSP for privilege level `level` (0–2) in a 64-bit TSS. */
export function readLongStack(context: CpuContext, level: number, ext: number): bigint | undefined {
  return readTss(context, LEVEL_STACKS + level * 8, 8, ext);
}

/** Entry 1–7 of the interrupt stack table. */
export function readInterruptStack(context: CpuContext, index: number, ext: number): bigint | undefined {
  return readTss(context, INTERRUPT_STACKS + index * 8, 8, ext);
}

/**
 * Whether the I/O permission bitmap lets a program use `size` ports from `port` on; raises #GP(0) where not. The two
 * bytes that hold the bits must both lie within the segment.
 */
export function checkIoBitmap(context: CpuContext, port: number, size: number): boolean {
  const { state } = context;
  const limit = state.segmentLimit[SEGMENT.tr];
  const refuse = () => raise(state, VECTOR.gp, 0);
  const usable = (state.segmentAttributes[SEGMENT.tr] & (ATTRIBUTE.unusable | ATTRIBUTE.present)) === ATTRIBUTE.present;
  if (!usable || tssType(state) !== 9 || limit < IO_MAP_BASE + 1) return refuse();
  const base = readTss(context, IO_MAP_BASE, 2, 0);
  if (base === undefined) return false;
  const at = Number(base) + (port >> 3);
  if (at + 1 > limit) return refuse();
  const bits = readTss(context, at, 2, 0);
  if (bits === undefined) return false;
  return ((Number(bits) >> (port & 7)) & ((1 << size) - 1)) === 0 || refuse();
}
