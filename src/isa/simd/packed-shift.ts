/** Packed shifts by a count in a register, in memory or in the instruction, and shifts of whole registers by bytes. */
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { BYTE_INDEXES, constantOf, half, lanes, mmxInstruction, zeroVector } from './common.ts';

interface Shift {
  readonly name: string;
  readonly op: string;
  readonly bits: 16 | 32 | 64;
  /** Second opcode byte of the form with a count operand. */
  readonly opcode: string;
  /** Opcode byte and ModRM.reg of the form with an immediate. */
  readonly immediate: string;
}

const SHIFTS: readonly Shift[] = [
  { name: 'psllw', op: 'i16x8.shl', bits: 16, opcode: 'f1', immediate: '71 /6' },
  { name: 'pslld', op: 'i32x4.shl', bits: 32, opcode: 'f2', immediate: '72 /6' },
  { name: 'psllq', op: 'i64x2.shl', bits: 64, opcode: 'f3', immediate: '73 /6' },
  { name: 'psrlw', op: 'i16x8.shr_u', bits: 16, opcode: 'd1', immediate: '71 /2' },
  { name: 'psrld', op: 'i32x4.shr_u', bits: 32, opcode: 'd2', immediate: '72 /2' },
  { name: 'psrlq', op: 'i64x2.shr_u', bits: 64, opcode: 'd3', immediate: '73 /2' },
  { name: 'psraw', op: 'i16x8.shr_s', bits: 16, opcode: 'e1', immediate: '71 /4' },
  { name: 'psrad', op: 'i32x4.shr_s', bits: 32, opcode: 'e2', immediate: '72 /4' },
];

/** Shifts every lane by an unsigned 64-bit count: a count past the lane gives zero, or all sign. */
function shiftLanes(b: InstructionBuilder, shift: Shift, x: Value, count: Value): Value {
  const { op, bits } = shift;
  const inside = b.ltU(count, b.i64(bits));
  if (op.endsWith('shr_s')) return b.op(op, x, b.select(inside, b.wrap(count), b.i32(bits - 1)));
  return b.select(inside, b.op(op, x, b.wrap(count)), zeroVector(b));
}

function mmxShift(b: InstructionBuilder, shift: Shift, dst: Operand, src: Operand): void {
  mmxInstruction(b, dst, () => {
    const count = src.read();
    return half(b, shiftLanes(b, shift, b.op('i64x2.splat', dst.read()), count), 0);
  });
}

function definitionsOf(shift: Shift): Definition[] {
  const { name, opcode, immediate } = shift;
  return [
    {
      name,
      encodings: [`np 0f ${opcode} /r Pq,Qq`, `np 0f ${immediate} Nq,Ib`],
      unit: 'mmx',
      feature: 'mmx',
      semantics: (b, dst, src) => mmxShift(b, shift, dst, src),
    },
    {
      name,
      encodings: [`66 0f ${opcode} /r Vdq,Wdq`],
      unit: 'sse',
      feature: 'sse2',
      semantics: (b, dst, src) => {
        const count = half(b, src.readVector(), 0);
        dst.writeVector(shiftLanes(b, shift, dst.readVector(), count));
      },
    },
    {
      name,
      encodings: [`66 0f ${immediate} Udq,Ib`],
      unit: 'sse',
      feature: 'sse2',
      semantics: (b, dst, count) => dst.writeVector(shiftLanes(b, shift, dst.readVector(), count.read())),
    },
  ];
}

/** Shifts all 16 bytes: up (left) or down by `count` (i64) bytes; 16 and more leave nothing. */
function shiftBytes(b: InstructionBuilder, x: Value, count: Value, up: boolean): Value {
  const known = constantOf(count);
  if (known !== undefined) {
    const from = (i: number) => (up ? i - known : i + known);
    return b.shuffle(
      x,
      zeroVector(b),
      BYTE_INDEXES.map((i) => (from(i) >= 0 && from(i) < 16 ? from(i) : 16)),
    );
  }
  // Indexes beyond 15, which those below 0 become, give zero.
  const bounded = b.select(b.ltU(count, b.i64(16)), b.wrap(count), b.i32(16));
  const distance = b.op('i8x16.splat', bounded);
  return b.op('i8x16.swizzle', x, b.op(up ? 'i8x16.sub' : 'i8x16.add', lanes(b, 8, BYTE_INDEXES), distance));
}

function byteShift(name: string, extension: number, up: boolean): Definition {
  return {
    name,
    encodings: [`66 0f 73 /${extension} Udq,Ib`],
    unit: 'sse',
    feature: 'sse2',
    semantics: (b, dst, count) => dst.writeVector(shiftBytes(b, dst.readVector(), count.read(), up)),
  };
}

export const packedShift: readonly Definition[] = [
  ...SHIFTS.flatMap(definitionsOf),
  byteShift('pslldq', 7, true),
  byteShift('psrldq', 3, false),
];
