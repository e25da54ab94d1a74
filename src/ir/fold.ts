/**
 * What integer operations reduce to: constants, and the identities that instruction semantics produce most. An address
 * plus a constant stays as it is, as the offset of a WebAssembly access does not wrap at 32 bits.
 */
import type { Builder } from './builder.ts';
import type { Value } from './node.ts';
import { integerOp, type PureOp, pureOp } from './ops.ts';

/** Gives something simpler than the operation on `a` and, if it takes two operands, `b`; or `undefined`. */
export type Fold = (builder: Builder, a: Value, b: Value) => Value | undefined;

type IntegerType = 'i32' | 'i64';

/** Constants are in signed form. */
const integer = (b: Builder, type: IntegerType, value: bigint): Value =>
  type === 'i64' ? b.i64(value) : b.i32(Number(BigInt.asIntN(32, value)));
const bigintOf = (constant: Value): bigint => BigInt((constant as Value & { kind: 'const' }).value as number | bigint);
const isConstant = (value: Value): value is Value & { kind: 'const' } => value.kind === 'const';
const isValue = (value: Value, number: number): boolean => isConstant(value) && Number(value.value) === number;

const ADD = integerOp('add');
const AND = integerOp('and');
const NE = integerOp('ne');
const WRAP = pureOp('i32.wrap_i64');
const EXTEND_U = pureOp('i64.extend_i32_u');
const EXTEND_S = pureOp('i64.extend_i32_s');

/** The operands of a value that `op` gives. */
function match(value: Value, op: PureOp): readonly Value[] | undefined {
  return value.kind === 'pure' && value.op === op ? (value.args as readonly Value[]) : undefined;
}

/** Operations that give 0 or 1. */
const comparisons = new Set<PureOp>();

/** How far `widthOf` looks. */
const DEPTH = 4;

type Width = (bits: number, depth: number, a: Value, b: Value) => number;

const WIDTHS = new Map<PureOp, Width>([
  [EXTEND_U, (_, depth, a) => widthOf(a, depth)],
  [WRAP, (_, depth, a) => Math.min(32, widthOf(a, depth))],
  [pureOp('i8x16.extract_lane_u'), () => 8],
  [pureOp('i16x8.extract_lane_u'), () => 16],
]);
for (const type of ['i32', 'i64'] as const) {
  const either: Width = (_, depth, a, b) => Math.max(widthOf(a, depth), widthOf(b, depth));
  WIDTHS.set(AND[type], (_, depth, a, b) => Math.min(widthOf(a, depth), widthOf(b, depth)));
  WIDTHS.set(integerOp('or')[type], either);
  WIDTHS.set(integerOp('xor')[type], either);
  WIDTHS.set(integerOp('shr_u')[type], (bits, depth, a, b) => {
    const width = widthOf(a, depth);
    return isConstant(b) ? Math.max(0, width - (Number(b.value) & (bits - 1))) : width;
  });
}

/** Bits up to the highest set one of a value that is not negative. */
const bitLength = (value: bigint): number =>
  value <= 0xffff_ffffn ? 32 - Math.clz32(Number(value)) : 64 - Math.clz32(Number(value >> 32n));

/** A bound of an integer: without its sign it is below 2 to the power of this. */
export function widthOf(value: Value, depth = DEPTH): number {
  const bits = value.type === 'i64' ? 64 : 32;
  switch (value.kind) {
    case 'load':
    case 'atomic':
      return value.op.width;
    case 'const': {
      const number = bigintOf(value);
      return number < 0n ? bits : bitLength(number);
    }
    case 'pure': {
      if (comparisons.has(value.op)) return 1;
      const [a, b] = value.args as readonly Value[];
      return depth === 0 ? bits : (WIDTHS.get(value.op)?.(bits, depth - 1, a, b) ?? bits);
    }
    default:
      return bits;
  }
}

/** A condition is only asked whether it is zero. */
export function foldCondition(condition: Value): Value {
  const compared = match(condition, NE.i32);
  if (compared !== undefined && isValue(compared[1], 0)) return foldCondition(compared[0]);
  return condition;
}

type Evaluate = (a: bigint, b: bigint, bits: number) => bigint;

const bool = (condition: boolean): bigint => (condition ? 1n : 0n);
const count = (b: bigint, bits: number): bigint => b & BigInt(bits - 1);
const raw = (a: bigint, bits: number): bigint => BigInt.asUintN(bits, a);

const EVALUATE: Readonly<Record<string, Evaluate>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, bits) => a << count(b, bits),
  shr_u: (a, b, bits) => raw(a, bits) >> count(b, bits),
  shr_s: (a, b, bits) => a >> count(b, bits),
  eq: (a, b) => bool(a === b),
  ne: (a, b) => bool(a !== b),
  lt_s: (a, b) => bool(a < b),
  le_s: (a, b) => bool(a <= b),
  gt_s: (a, b) => bool(a > b),
  ge_s: (a, b) => bool(a >= b),
  lt_u: (a, b, bits) => bool(raw(a, bits) < raw(b, bits)),
  le_u: (a, b, bits) => bool(raw(a, bits) <= raw(b, bits)),
  gt_u: (a, b, bits) => bool(raw(a, bits) > raw(b, bits)),
  ge_u: (a, b, bits) => bool(raw(a, bits) >= raw(b, bits)),
};

/** What comparisons become when `eqz` negates them. */
const OPPOSITE: Readonly<Record<string, string>> = {
  eq: 'ne',
  ne: 'eq',
  lt_s: 'ge_s',
  ge_s: 'lt_s',
  lt_u: 'ge_u',
  ge_u: 'lt_u',
  gt_s: 'le_s',
  le_s: 'gt_s',
  gt_u: 'le_u',
  le_u: 'gt_u',
};

const COMMUTATIVE = new Set(['add', 'mul', 'and', 'or', 'xor', 'eq', 'ne']);

/** Identities of `x op constant`, where `x` is none. */
function withConstant(type: IntegerType, name: string): Fold | undefined {
  switch (name) {
    case 'add':
      return (builder, a, b) => {
        if (isValue(b, 0)) return a;
        const inner = match(a, ADD[type]);
        if (inner === undefined || !isConstant(inner[1])) return undefined;
        return builder.add(inner[0], integer(builder, type, bigintOf(inner[1]) + bigintOf(b)));
      };
    case 'sub':
      return (builder, a, b) => builder.add(a, integer(builder, type, -bigintOf(b)));
    case 'and':
      return (builder, a, b) => foldMask(builder, type, a, b);
    case 'mul':
      return (_, a, b) => (isValue(b, 1) ? a : isValue(b, 0) ? b : undefined);
    case 'or':
    case 'xor':
      return (_, a, b) => (isValue(b, 0) ? a : undefined);
    case 'shl':
    case 'shr_u':
    case 'shr_s':
    case 'rotl':
    case 'rotr':
      return (_, a, b) =>
        (Number(BigInt.asUintN(32, bigintOf(b))) & (type === 'i64' ? 63 : 31)) === 0 ? a : undefined;
    case 'eq':
      return (builder, a, b) => (isValue(b, 0) ? builder.eqz(a) : undefined);
    case 'ne':
      return (builder, a, b) => {
        if (!isValue(b, 0)) return undefined;
        if (type === 'i32') return widthOf(a) <= 1 ? a : undefined;
        const extended = match(a, EXTEND_U) ?? match(a, EXTEND_S);
        return extended && builder.ne(extended[0], builder.i32(0));
      };
    default:
      return undefined;
  }
}

function foldMask(builder: Builder, type: IntegerType, a: Value, b: Value): Value | undefined {
  if (isValue(b, -1)) return a;
  if (isValue(b, 0)) return b;
  const mask = bigintOf(b);
  // All bits that the value can have.
  if (mask > 0n && (mask & (mask + 1n)) === 0n && widthOf(a) <= bitLength(mask)) return a;
  const inner = match(a, AND[type]);
  if (inner === undefined || !isConstant(inner[1])) return undefined;
  return builder.and(inner[0], integer(builder, type, mask & bigintOf(inner[1])));
}

/** Identities of an operation on one value twice. */
function withItself(type: IntegerType, name: string): Fold | undefined {
  if (name === 'xor' || name === 'sub') return (builder) => integer(builder, type, 0n);
  return name === 'and' || name === 'or' ? (_, a) => a : undefined;
}

function binary(type: IntegerType, name: string): Fold {
  const op = pureOp(`${type}.${name}`);
  const bits = type === 'i64' ? 64 : 32;
  const evaluate = EVALUATE[name];
  const simplify = withConstant(type, name);
  const same = withItself(type, name);
  const result = op.result as IntegerType;
  const commutes = COMMUTATIVE.has(name);
  return (builder, a, b) => {
    if (isConstant(b)) {
      if (!isConstant(a)) return simplify?.(builder, a, b);
      return evaluate && integer(builder, result, evaluate(bigintOf(a), bigintOf(b), bits));
    }
    // Constants stand on the right, where the identities look for them.
    if (commutes && isConstant(a)) return builder.op(op.name, b, a);
    return a === b ? same?.(builder, a, b) : undefined;
  };
}

function foldEqz(builder: Builder, a: Value): Value | undefined {
  if (isConstant(a)) return builder.i32(Number(a.value) === 0 ? 1 : 0);
  if (a.kind !== 'pure') return undefined;
  const extended = match(a, EXTEND_U) ?? match(a, EXTEND_S);
  if (extended !== undefined) return builder.eqz(extended[0]);
  if (!comparisons.has(a.op)) return undefined;
  const [x, y] = a.args as readonly Value[];
  const [type, name] = a.op.name.split('.');
  if (name === 'eqz') return builder.ne(x, type === 'i64' ? builder.i64(0) : builder.i32(0));
  return builder.op(`${type}.${OPPOSITE[name]}`, x, y);
}

function foldWrap(builder: Builder, a: Value): Value | undefined {
  if (isConstant(a)) return builder.i32(Number(BigInt.asIntN(32, bigintOf(a))));
  const extended = match(a, EXTEND_U) ?? match(a, EXTEND_S);
  if (extended !== undefined) return extended[0];
  const masked = match(a, AND.i64);
  if (masked === undefined || !isConstant(masked[1])) return undefined;
  return BigInt.asIntN(32, bigintOf(masked[1])) === -1n ? builder.wrap(masked[0]) : undefined;
}

function foldExtendU(builder: Builder, a: Value): Value | undefined {
  if (isConstant(a)) return builder.i64(BigInt.asUintN(32, bigintOf(a)));
  const wrapped = match(a, WRAP);
  return wrapped !== undefined && widthOf(wrapped[0]) <= 32 ? wrapped[0] : undefined;
}

for (const type of ['i32', 'i64'] as const) {
  for (const name of [...Object.keys(EVALUATE), 'rotl', 'rotr']) pureOp(`${type}.${name}`).fold = binary(type, name);
  pureOp(`${type}.eqz`).fold = foldEqz;
  for (const bits of type === 'i64' ? [8, 16, 32] : [8, 16]) {
    pureOp(`${type}.extend${bits}_s`).fold = (builder, a) => {
      if (isConstant(a)) return integer(builder, type, BigInt.asIntN(bits, bigintOf(a)));
      // The sign is known to be clear.
      return widthOf(a) < bits ? a : undefined;
    };
  }
  for (const name of [...Object.keys(OPPOSITE), 'eqz']) comparisons.add(pureOp(`${type}.${name}`));
}
pureOp('i32.wrap_i64').fold = foldWrap;
pureOp('i64.extend_i32_u').fold = foldExtendU;
pureOp('i64.extend_i32_s').fold = (builder, a) => (isConstant(a) ? builder.i64(bigintOf(a)) : undefined);
