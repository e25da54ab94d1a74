/** PEXTR*, PINSR*, EXTRACTPS, INSERTPS: single lanes chosen by an immediate. */
import type { Value } from '../../ir/node.ts';
import type { Definition, Semantics } from '../definition.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { checkPendingX87, mmxEnter } from '../x87/mmx-state.ts';
import { BYTE_INDEXES, constantOf, half, lanes, mmxInstruction } from './common.ts';

type Bytes = 1 | 2 | 4 | 8;

const SHAPE: Record<Bytes, string> = { 1: 'i8x16', 2: 'i16x8', 4: 'i32x4', 8: 'i64x2' };
const EXTRACT: Record<Bytes, string> = {
  1: 'i8x16.extract_lane_u',
  2: 'i16x8.extract_lane_u',
  4: 'i32x4.extract_lane',
  8: 'i64x2.extract_lane',
};

/** Lane `immediate` modulo `count`, zero-extended to i64. */
function extract(b: InstructionBuilder, vector: Value, bytes: Bytes, count: number, immediate: Value): Value {
  const widen = (v: Value) => (bytes === 8 ? v : b.extendU(v));
  const known = constantOf(immediate);
  if (known !== undefined) return widen(b.lane(EXTRACT[bytes], known & (count - 1), vector));
  const first = b.mul(b.and(b.wrap(immediate), b.i32(count - 1)), b.i32(bytes));
  const order = b.op('i8x16.add', lanes(b, 8, BYTE_INDEXES), b.op('i8x16.splat', first));
  return widen(b.lane(EXTRACT[bytes], 0, b.op('i8x16.swizzle', vector, order)));
}

/** `vector` with lane `immediate` modulo `count` replaced by the low bytes of `value` (i64). */
function insert(
  b: InstructionBuilder,
  vector: Value,
  bytes: Bytes,
  count: number,
  immediate: Value,
  value: Value,
): Value {
  const narrow = bytes === 8 ? value : b.wrap(value);
  const known = constantOf(immediate);
  if (known !== undefined) return b.lane(`${SHAPE[bytes]}.replace_lane`, known & (count - 1), vector, narrow);
  const wanted = b.and(immediate, b.i64(count - 1));
  const numbers = lanes(b, (bytes * 8) as 8 | 16 | 32 | 64, BYTE_INDEXES.slice(0, 16 / bytes));
  const chosen = b.op(`${SHAPE[bytes]}.splat`, bytes === 8 ? wanted : b.wrap(wanted));
  const mask = b.op(`${SHAPE[bytes]}.eq`, numbers, chosen);
  return b.op('v128.bitselect', b.op(`${SHAPE[bytes]}.splat`, narrow), vector, mask);
}

const extracting =
  (bytes: Bytes): Semantics =>
  (b, dst, src, immediate) =>
    dst.write(extract(b, src.readVector(), bytes, 16 / bytes, immediate.read()));

const inserting =
  (bytes: Bytes): Semantics =>
  (b, dst, src, immediate) => {
    const value = src.read();
    dst.writeVector(insert(b, dst.readVector(), bytes, 16 / bytes, immediate.read(), value));
  };

/** PEXTRD, PEXTRQ, PINSRD, PINSRQ: by operand size. */
const bySize =
  (operation: (bytes: Bytes) => Semantics, operand: 0 | 1): Semantics =>
  (b, ...operands) =>
    operation(operands[operand]?.size === 8 ? 8 : 4)(b, ...operands);

function mmxExtract(b: InstructionBuilder, dst: Operand, src: Operand, immediate: Operand): void {
  checkPendingX87(b);
  const value = extract(b, b.op('i64x2.splat', src.read()), 2, 4, immediate.read());
  mmxEnter(b);
  dst.write(value);
}

function mmxInsert(b: InstructionBuilder, dst: Operand, src: Operand, immediate: Operand): void {
  mmxInstruction(b, dst, () => {
    const value = src.read();
    return half(b, insert(b, b.op('i64x2.splat', dst.read()), 2, 4, immediate.read(), value), 0);
  });
}

/**
 * INSERTPS: bits 7–6 choose the source lane (of a register), bits 5–4 the destination lane, bits 3–0 the lanes to
 * clear afterwards.
 */
function insertSingle(b: InstructionBuilder, dst: Operand, src: Operand, immediate: Operand): void {
  const control = immediate.read();
  const value = src.kind === 'memory' ? src.read() : extract(b, src.readVector(), 4, 4, b.shrU(control, b.i64(6)));
  const inserted = insert(b, dst.readVector(), 4, 4, b.shrU(control, b.i64(4)), value);
  const weights = lanes(b, 32, [1, 2, 4, 8]);
  const chosen = b.op('v128.and', b.op('i32x4.splat', b.wrap(control)), weights);
  dst.writeVector(b.op('v128.andnot', inserted, b.op('i32x4.eq', chosen, weights)));
}

function sse(name: string, feature: string, encoding: string, semantics: Semantics): Definition {
  return { name, encodings: [encoding], unit: 'sse', feature, semantics };
}

export const insertExtract: readonly Definition[] = [
  { name: 'pextrw', encodings: ['np 0f c5 /r Gd,Nq,Ib'], unit: 'mmx', feature: 'sse', semantics: mmxExtract },
  { name: 'pinsrw', encodings: ['np 0f c4 /r Pq,Ed/Mw,Ib'], unit: 'mmx', feature: 'sse', semantics: mmxInsert },
  sse('pextrw', 'sse2', '66 0f c5 /r Gd,Udq,Ib', extracting(2)),
  sse('pinsrw', 'sse2', '66 0f c4 /r Vdq,Ed/Mw,Ib', inserting(2)),
  sse('pextrb', 'sse4.1', '66 0f 3a 14 /r Ed/Mb,Vdq,Ib', extracting(1)),
  sse('pextrw', 'sse4.1', '66 0f 3a 15 /r Ed/Mw,Vdq,Ib', extracting(2)),
  sse('pextrd', 'sse4.1', '66 0f 3a 16 /r Ey,Vdq,Ib', bySize(extracting, 0)),
  sse('extractps', 'sse4.1', '66 0f 3a 17 /r Ed,Vdq,Ib', extracting(4)),
  sse('pinsrb', 'sse4.1', '66 0f 3a 20 /r Vdq,Ed/Mb,Ib', inserting(1)),
  sse('insertps', 'sse4.1', '66 0f 3a 21 /r Vdq,Wd,Ib', insertSingle),
  sse('pinsrd', 'sse4.1', '66 0f 3a 22 /r Vdq,Ey,Ib', bySize(inserting, 1)),
];
