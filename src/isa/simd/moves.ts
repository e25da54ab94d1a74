/** Moves between registers and memory, moves of halves and of masks, extending moves, non-temporal stores. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition, Semantics } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { checkPendingX87, mmxEnter } from '../x87/mmx-state.ts';
import { half, lowHalf, mmxInstruction } from './common.ts';

function sse(name: string, feature: string, encodings: readonly string[], semantics: Semantics): Definition {
  return { name, encodings, unit: 'sse', feature, semantics };
}

const copy =
  (unaligned: boolean): Semantics =>
  (_b, dst, src) =>
    dst.writeVector(src.readVector(unaligned), unaligned);

/** The low bytes of the destination; the rest of a register stays. */
function merge(b: InstructionBuilder, dst: Operand, src: Operand): void {
  if (dst.kind === 'xmm' && (src.kind === 'xmm' || src.kind === 'memory')) {
    const shape = dst.size === 4 ? 'f32x4' : 'f64x2';
    const low = b.lane(`${shape}.extract_lane`, 0, src.readVector());
    dst.writeVector(b.lane(`${shape}.replace_lane`, 0, dst.readVector(), low));
  } else dst.write(src.read());
}

/** All of the destination, zero-extended. */
function extendMove(b: InstructionBuilder, dst: Operand, src: Operand): void {
  if (src.kind === 'memory') dst.writeVector(src.readVector());
  else if (src.kind === 'xmm') dst.writeVector(b.op('v128.and', src.readVector(), b.v128(0xffff_ffff_ffff_ffffn, 0n)));
  else dst.writeVector(lowHalf(b, src.read()));
}

/** The low half, zero-extended where the destination is a register. */
function moveQuadword(b: InstructionBuilder, dst: Operand, src: Operand): void {
  if (dst.kind === 'xmm') extendMove(b, dst, src);
  else merge(b, dst, src);
}

const whole: Definition[] = [
  sse('movaps', 'sse', ['np 0f 28 /r Vdq,Wdq', 'np 0f 29 /r Wdq,Vdq'], copy(false)),
  sse('movapd', 'sse2', ['66 0f 28 /r Vdq,Wdq', '66 0f 29 /r Wdq,Vdq'], copy(false)),
  sse('movups', 'sse', ['np 0f 10 /r Vdq,Wdq', 'np 0f 11 /r Wdq,Vdq'], copy(true)),
  sse('movupd', 'sse2', ['66 0f 10 /r Vdq,Wdq', '66 0f 11 /r Wdq,Vdq'], copy(true)),
  sse('movdqa', 'sse2', ['66 0f 6f /r Vdq,Wdq', '66 0f 7f /r Wdq,Vdq'], copy(false)),
  sse('movdqu', 'sse2', ['f3 0f 6f /r Vdq,Wdq', 'f3 0f 7f /r Wdq,Vdq'], copy(true)),
  sse('lddqu', 'sse3', ['f2 0f f0 /r Vdq,Mdq'], copy(true)),
  sse('movntps', 'sse', ['np 0f 2b /r Mdq,Vdq'], copy(false)),
  sse('movntpd', 'sse2', ['66 0f 2b /r Mdq,Vdq'], copy(false)),
  sse('movntdq', 'sse2', ['66 0f e7 /r Mdq,Vdq'], copy(false)),
  sse('movntdqa', 'sse4.1', ['66 0f 38 2a /r Vdq,Mdq'], copy(false)),
];

/** Bytes of the high half. */
const HIGH_HALF = [8, 9, 10, 11, 12, 13, 14, 15];

/** Low half of the destination from the high half of the source. */
const highToLow: Semantics = (b, dst, src) =>
  dst.writeVector(b.shuffle(src.readVector(), dst.readVector(), [...HIGH_HALF, ...HIGH_HALF.map((i) => i + 16)]));

/** High half of the destination from a register's low half or from memory. */
function loadHigh(b: InstructionBuilder, dst: Operand, src: Operand): void {
  const value = b.lane('f64x2.extract_lane', 0, src.readVector());
  dst.writeVector(b.lane('f64x2.replace_lane', 1, dst.readVector(), value));
}

const storeHigh: Semantics = (b, dst, src) => dst.write(half(b, src.readVector(), 1));

const partial: Definition[] = [
  sse('movss', 'sse', ['f3 0f 10 /r Vd,Ud', 'f3 0f 11 /r Wd,Vd'], merge),
  sse('movss', 'sse', ['f3 0f 10 /r Vdq,Md'], extendMove),
  sse('movsd', 'sse2', ['f2 0f 10 /r Vq,Uq', 'f2 0f 11 /r Wq,Vq'], merge),
  sse('movsd', 'sse2', ['f2 0f 10 /r Vdq,Mq'], extendMove),
  sse('movlps', 'sse', ['np 0f 12 /r Vq,Mq', 'np 0f 13 /r Mq,Vq'], merge),
  sse('movlpd', 'sse2', ['66 0f 12 /r Vq,Mq', '66 0f 13 /r Mq,Vq'], merge),
  sse('movhlps', 'sse', ['np 0f 12 /r Vdq,Udq'], highToLow),
  sse('movlhps', 'sse', ['np 0f 16 /r Vdq,Uq'], loadHigh),
  sse('movhps', 'sse', ['np 0f 16 /r Vdq,Mq'], loadHigh),
  sse('movhpd', 'sse2', ['66 0f 16 /r Vdq,Mq'], loadHigh),
  sse('movhps', 'sse', ['np 0f 17 /r Mq,Vdq'], storeHigh),
  sse('movhpd', 'sse2', ['66 0f 17 /r Mq,Vdq'], storeHigh),
  sse('movd', 'sse2', ['66 0f 6e /r Vdq,Ey'], extendMove),
  sse('movd', 'sse2', ['66 0f 7e /r Ey,Vq'], merge),
  sse('movq', 'sse2', ['f3 0f 7e /r Vq,Wq', '66 0f d6 /r Wq,Vq'], moveQuadword),
];

/** To an MMX register. */
const mmxLoad: Semantics = (b, dst, src) => mmxInstruction(b, dst, () => src.read());

/** From an MMX register to memory or a general register. */
function mmxStore(b: InstructionBuilder, dst: Operand, src: Operand): void {
  checkPendingX87(b);
  dst.write(src.read());
  mmxEnter(b);
}

/** MOVQ in the direction that may store. */
function mmxMove(b: InstructionBuilder, dst: Operand, src: Operand): void {
  if (dst.kind === 'mmx') mmxLoad(b, dst, src);
  else mmxStore(b, dst, src);
}

function fromMmx(b: InstructionBuilder, dst: Operand, src: Operand): void {
  checkPendingX87(b);
  const value = src.read();
  mmxEnter(b);
  dst.writeVector(lowHalf(b, value));
}

function mmxForms(name: string, feature: string, encodings: readonly string[], semantics: Semantics): Definition {
  return { name, encodings, unit: 'mmx', feature, semantics };
}

const mmx: Definition[] = [
  mmxForms('movd', 'mmx', ['np 0f 6e /r Pq,Ey'], mmxLoad),
  mmxForms('movd', 'mmx', ['np 0f 7e /r Ey,Pq'], mmxStore),
  mmxForms('movq', 'mmx', ['np 0f 6f /r Pq,Qq', 'np 0f 7f /r Qq,Pq'], mmxMove),
  mmxForms('movntq', 'sse', ['np 0f e7 /r Mq,Pq'], mmxStore),
  sse('movdq2q', 'sse2', ['f2 0f d6 /r Pq,Uq'], mmxLoad),
  sse('movq2dq', 'sse2', ['f3 0f d6 /r Vdq,Nq'], fromMmx),
];

/** The sign bits of all lanes, into a general register. */
const signs =
  (op: string): Semantics =>
  (b, dst, src) =>
    dst.write(b.extendU(b.op(op, src.readVector())));

function mmxSigns(b: InstructionBuilder, dst: Operand, src: Operand): void {
  checkPendingX87(b);
  const mask = b.and(b.op('i8x16.bitmask', b.op('i64x2.splat', src.read())), b.i32(0xff));
  mmxEnter(b);
  dst.write(b.extendU(mask));
}

const masks: Definition[] = [
  sse('movmskps', 'sse', ['np 0f 50 /r Gd,Udq'], signs('i32x4.bitmask')),
  sse('movmskpd', 'sse2', ['66 0f 50 /r Gd,Udq'], signs('i64x2.bitmask')),
  sse('pmovmskb', 'sse2', ['66 0f d7 /r Gd,Udq'], signs('i8x16.bitmask')),
  { name: 'pmovmskb', encodings: ['np 0f d7 /r Gd,Nq'], unit: 'mmx', feature: 'sse', semantics: mmxSigns },
];

/** PMOVSX and PMOVZX: the low lanes of the source widened in one or more doublings. */
function extending(name: string, opcode: number, size: string, steps: readonly string[]): Definition[] {
  return (['s', 'u'] as const).map((sign) => ({
    name: `pmov${sign === 's' ? 'sx' : 'zx'}${name}`,
    encodings: [`66 0f 38 ${(opcode + (sign === 's' ? 0 : 0x10)).toString(16)} /r Vdq,W${size}`],
    unit: 'sse',
    feature: 'sse4.1',
    semantics: (b, dst, src) => dst.writeVector(widen(b, src.readVector(), steps, sign)),
  }));
}

function widen(b: Builder, vector: Value, steps: readonly string[], sign: 's' | 'u'): Value {
  return steps.reduce((v, step) => b.op(`${step}_${sign}`, v), vector);
}

const TO_WORDS = 'i16x8.extend_low_i8x16';
const TO_DWORDS = 'i32x4.extend_low_i16x8';
const TO_QWORDS = 'i64x2.extend_low_i32x4';

const extensions: Definition[] = [
  ...extending('bw', 0x20, 'q', [TO_WORDS]),
  ...extending('bd', 0x21, 'd', [TO_WORDS, TO_DWORDS]),
  ...extending('bq', 0x22, 'w', [TO_WORDS, TO_DWORDS, TO_QWORDS]),
  ...extending('wd', 0x23, 'q', [TO_DWORDS]),
  ...extending('wq', 0x24, 'd', [TO_DWORDS, TO_QWORDS]),
  ...extending('dq', 0x25, 'q', [TO_QWORDS]),
];

export const moves: readonly Definition[] = [...whole, ...partial, ...mmx, ...masks, ...extensions];
