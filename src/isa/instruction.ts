/** A decoded instruction. */
import type { Encoding } from './encoding.ts';
import type { Width } from './operand.ts';

export type DecodedOperand =
  | {
      readonly kind: 'gpr';
      readonly index: number;
      readonly size: Width /** AH, CH, DH, BH for 0–3. */;
      readonly high: boolean;
    }
  | { readonly kind: 'xmm' | 'mmx'; readonly index: number; readonly size: number }
  /** Segment, control, debug or x87 register by number. */
  | { readonly kind: 'index'; readonly index: number; readonly size: number }
  | MemoryOperand
  | { readonly kind: 'immediate'; readonly value: bigint; readonly size: Width }
  /** `value`: displacement from the next instruction, sign-extended. */
  | { readonly kind: 'relative'; readonly value: number; readonly size: Width };

/** Base register number that stands for the address of the next instruction. */
export const RIP_BASE = 16;

export interface MemoryOperand {
  readonly kind: 'memory';
  /** Bytes accessed; 0 where the meaning decides. */
  readonly size: number;
  /** General register, `RIP_BASE`, or -1. */
  readonly base: number;
  readonly index: number;
  /** log2 of the factor. */
  readonly scale: number;
  readonly displacement: bigint;
  /** Bytes that the address lies beyond base, index and displacement: POP takes it after the stack pointer moved. */
  readonly bias: number;
  /** Number of the segment: the default of the base, or the override. */
  readonly segment: number;
}

export interface Instruction {
  readonly encoding: Encoding;
  /** Bytes, at most 15. */
  readonly length: number;
  /** Bytes at its end: the displacement, and behind it immediates, a relative target or an absolute offset. */
  readonly displacementBytes: number;
  readonly immediateBytes: number;
  readonly operandSize: Width;
  readonly addressSize: Width;
  /** Last repeat prefix, 0xf2 or 0xf3, or 0. */
  readonly repeat: number;
  /** It has a LOCK prefix, or is locked without. */
  readonly locked: boolean;
  /** Segment override in force, or -1. */
  readonly segmentOverride: number;
  readonly operands: readonly DecodedOperand[];
}
