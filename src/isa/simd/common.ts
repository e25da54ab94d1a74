/** What the SIMD instruction tables share: vector constants, and instructions that exist for MMX and XMM registers. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { checkPendingX87, mmxEnter, writeMmx } from '../x87/mmx-state.ts';

/** A pure function of vectors: destination, source. */
export type VectorOp = (b: Builder, x: Value, y: Value) => Value;

/** A vector constant from lanes of 8, 16, 32 or 64 bits, lowest first. */
export function lanes(b: Builder, bits: 8 | 16 | 32 | 64, values: readonly (number | bigint)[]): Value {
  let whole = 0n;
  values.forEach((value, i) => {
    whole |= BigInt.asUintN(bits, BigInt(value)) << BigInt(i * bits);
  });
  return b.v128(whole & 0xffff_ffff_ffff_ffffn, whole >> 64n);
}

/** A vector constant with the same value in every lane. */
export function splat(b: Builder, bits: 8 | 16 | 32 | 64, value: number | bigint): Value {
  return lanes(b, bits, new Array<number | bigint>(128 / bits).fill(value));
}

export const zeroVector = (b: Builder): Value => b.v128(0n, 0n);

/** 0, 1, 2 … 15: the byte indexes of `i8x16.swizzle` that leave a vector as it is. */
export const BYTE_INDEXES: readonly number[] = Array.from({ length: 16 }, (_, i) => i);

/** A half of a vector as i64: 0 the low one. */
export const half = (b: Builder, vector: Value, index: 0 | 1): Value => b.lane('i64x2.extract_lane', index, vector);

/** A vector from its halves. */
export function fromHalves(b: Builder, low: Value, high: Value): Value {
  return b.lane('i64x2.replace_lane', 1, b.op('i64x2.splat', low), high);
}

/** A 64-bit value as the low half of a vector, zero above. */
export function lowHalf(b: Builder, low: Value): Value {
  return b.lane('i64x2.replace_lane', 0, zeroVector(b), low);
}

/** The value of an immediate where it is known when code is built. */
export function constantOf(immediate: Value): number | undefined {
  return immediate.kind === 'const' ? Number(BigInt.asUintN(8, BigInt(immediate.value as bigint))) : undefined;
}

/** An immediate byte as i32. */
export const immediateByte = (b: InstructionBuilder, immediate: Operand): Value => b.wrap(immediate.read());

/**
 * An instruction that reads or writes MMX registers: a pending x87 exception comes first, `compute` may fault, then the
 * x87 registers become MMX registers (SDM vol. 1 9.5, vol. 3A 12.2).
 */
export function mmxInstruction(b: InstructionBuilder, dst: Operand | undefined, compute: () => Value): void {
  checkPendingX87(b);
  const value = compute();
  mmxEnter(b);
  if (dst !== undefined) writeMmx(b, dst, value);
}

/**
 * The transition to MMX registers of an instruction that may still fault: processors make it before MASKMOVQ stores and
 * before a conversion raises #XM. To run the instruction again changes nothing more.
 */
export function earlyTransition(b: InstructionBuilder): void {
  b.setScratchField('fpTop', b.i32(0));
  b.setScratchField('ftw', b.i32(0xff));
}

/** Which CPUID features an instruction's two forms belong to; absent: there is no such form. */
export interface Forms {
  readonly mmx?: string;
  readonly sse?: string;
}

interface PackedOptions {
  /** Operands of the MMX form; default `Pq,Qq`. */
  readonly mmxOperands?: string;
  /**
   * The low half of the result takes elements from all over the first operand and the high half from the second (PACK*,
   * PHADD*): the MMX form has both in one vector.
   */
  readonly joins?: boolean;
}

/** An instruction of two operands: the MMX form is the low half of the XMM form. `opcode` has no prefix. */
export function packed(
  name: string,
  opcode: string,
  forms: Forms,
  op: VectorOp,
  options: PackedOptions = {},
): Definition[] {
  const definitions: Definition[] = [];
  if (forms.mmx !== undefined) {
    definitions.push({
      name,
      encodings: [`np ${opcode} /r ${options.mmxOperands ?? 'Pq,Qq'}`],
      unit: 'mmx',
      feature: forms.mmx,
      semantics: (b, dst, src) => mmxInstruction(b, dst, () => mmxResult(b, dst, src, op, options.joins === true)),
    });
  }
  if (forms.sse !== undefined) definitions.push(xmmOnly(name, `66 ${opcode}`, forms.sse, op));
  return definitions;
}

function mmxResult(b: InstructionBuilder, dst: Operand, src: Operand, op: VectorOp, joins: boolean): Value {
  const y = src.read();
  const x = dst.read();
  if (!joins) return half(b, op(b, b.op('i64x2.splat', x), b.op('i64x2.splat', y)), 0);
  const both = fromHalves(b, x, y);
  return half(b, op(b, both, both), 0);
}

/** An instruction of two XMM operands, the second of which may be aligned memory. `opcode` includes the prefix. */
export function xmmOnly(name: string, opcode: string, feature: string, op: VectorOp): Definition {
  return {
    name,
    encodings: [`${opcode} /r Vdq,Wdq`],
    unit: 'sse',
    feature,
    semantics: (b, dst, src) => {
      const y = src.readVector();
      dst.writeVector(op(b, dst.readVector(), y));
    },
  };
}

/** A `VectorOp` that is one WebAssembly operation. */
export const native =
  (name: string): VectorOp =>
  (b, x, y) =>
    b.op(name, x, y);

/** A `VectorOp` that is one WebAssembly operation on the second operand alone. */
export const unary =
  (name: string): VectorOp =>
  (b, _x, y) =>
    b.op(name, y);

/** Every other lane of `bytes` bytes: of `x`, then of `y`; `first` is 0 for the even ones. */
export function everyOther(b: Builder, bytes: 2 | 4 | 8, first: 0 | 1, x: Value, y: Value): Value {
  const order = BYTE_INDEXES.map((i) => (2 * Math.floor(i / bytes) + first) * bytes + (i % bytes));
  return b.shuffle(x, y, order);
}
