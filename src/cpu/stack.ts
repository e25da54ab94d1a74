/** Pushes and pops of transfers: through SS as it is, or through a stack that is yet to become the current one. */
import { MEMORY_ACCESS } from '../isa/access.ts';
import { GPR, SEGMENT, type VcpuState, VECTOR } from '../isa/state.ts';
import { type AccessSize, type CpuContext, raise } from './context.ts';
import { attributesOf, baseOf, type Descriptor, limitOf } from './descriptor.ts';
import { stackSize } from './mode.ts';
import { segmentLinear, withinLimit } from './segmentation.ts';

/** A stack under construction; the registers change only when the transfer commits it. */
export interface Stack {
  /** Bytes of the stack pointer; 8 means no segmentation. */
  readonly size: 2 | 4 | 8;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
  /** Error code of #SS when the limit is passed. */
  readonly error: number;
  /** Extra access flags: `MEMORY_ACCESS.system` for a stack of an inner level. */
  readonly flags: number;
  /** Zero-extended. */
  pointer: bigint;
}

export const STACK_MASK = { 2: 0xffffn, 4: 0xffff_ffffn, 8: 0xffff_ffff_ffff_ffffn } as const;

/** The current stack. */
export function currentStack(state: VcpuState, ext = 0): Stack {
  const size = stackSize(state);
  return {
    size,
    base: state.segmentBase[SEGMENT.ss],
    limit: state.segmentLimit[SEGMENT.ss],
    attributes: state.segmentAttributes[SEGMENT.ss],
    error: ext,
    flags: MEMORY_ACCESS.stack,
    pointer: state.gpr[GPR.rsp] & STACK_MASK[size],
  };
}

/** A stack of an inner privilege level, from the SS descriptor that the TSS named. */
export function innerStack(d: Descriptor, pointer: bigint, ext: number): Stack {
  const attributes = attributesOf(d);
  return {
    size: (attributes & 0x4000) !== 0 ? 4 : 2,
    base: BigInt(baseOf(d)),
    limit: limitOf(d),
    attributes,
    error: (d.selector & 0xfffc) | ext,
    flags: MEMORY_ACCESS.stack | MEMORY_ACCESS.system,
    pointer,
  };
}

/** A stack in 64-bit mode. */
export function longStack(pointer: bigint, inner: boolean): Stack {
  const flags = MEMORY_ACCESS.stack | (inner ? MEMORY_ACCESS.system : 0);
  return { size: 8, base: 0n, limit: 0, attributes: 0, error: 0, flags, pointer };
}

/** Pushes the low `bytes` bytes of `value`; raises #SS or what memory says. */
export function push(context: CpuContext, stack: Stack, value: bigint | number, bytes: AccessSize): boolean {
  const pointer = (stack.pointer - BigInt(bytes)) & STACK_MASK[stack.size];
  let linear = pointer;
  if (stack.size !== 8) {
    if (!withinLimit(stack.attributes, stack.limit, Number(pointer), bytes)) {
      return raise(context.state, VECTOR.ss, stack.error);
    }
    linear = (stack.base + pointer) & 0xffff_ffffn;
  }
  if (!context.writeLinear(linear, bytes, BigInt(value), stack.flags)) return false;
  stack.pointer = pointer;
  return true;
}

/** Pushes several values, first to last. */
export function pushAll(
  context: CpuContext,
  stack: Stack,
  bytes: AccessSize,
  ...values: readonly (bigint | number)[]
): boolean {
  for (const value of values) if (!push(context, stack, value, bytes)) return false;
  return true;
}

/** The value `offset` bytes above the stack pointer; the pointer stays. */
export function peek(context: CpuContext, offset: number, bytes: AccessSize): bigint | undefined {
  const { state } = context;
  const size = stackSize(state);
  const pointer = (state.gpr[GPR.rsp] + BigInt(offset)) & STACK_MASK[size];
  const linear = size === 8 ? pointer : segmentLinear(state, SEGMENT.ss, pointer, bytes, 'read');
  return linear === undefined ? undefined : context.readLinear(linear, bytes, MEMORY_ACCESS.stack);
}

/** Sets the stack pointer at the width of a stack; upper bits of ESP stay on a 16-bit stack. */
export function setStackPointer(state: VcpuState, size: 2 | 4 | 8, pointer: bigint): void {
  const mask = STACK_MASK[size];
  const kept = size === 2 ? state.gpr[GPR.rsp] & ~mask : 0n;
  state.gpr[GPR.rsp] = BigInt.asUintN(64, kept | (pointer & mask));
}
