/** Flags of an operation that was not yet brought to the flag locals: conditions on it become comparisons. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import { comparisonImage, type FlagImage, type FlagOperation, flagImage } from '../../isa/flag-image.ts';
import { type Helper, routine } from '../../isa/helpers.ts';
import type { Width } from '../../isa/operand.ts';
import { VCPU } from '../../isa/state.ts';

/**
 * `result` = `a` op `b`; values hold at least the low `size` bytes. With `stored`, `result` and `a` are what the state block
 * keeps as `flagResult` and `flagAux`. With `float`, `a` and `b` are floats that were compared, see
 * `InstructionBuilder.flagsOfComparison`; `result` and `size` mean nothing.
 */
export interface PendingFlags {
  readonly kind: 'add' | 'sub' | 'logic' | 'stored' | 'float';
  readonly size: Width;
  readonly a: Value;
  readonly b: Value;
  readonly result: Value;
  /** No carry or borrow came in. */
  readonly plain: boolean;
  /** CF and OF (i32), where a later instruction changed only them. */
  readonly carry?: { readonly cf: Value; readonly of: Value } | undefined;
}

/** What the state block would hold. */
export function imageOf(b: Builder, { kind, size, a, b: other, result, carry }: PendingFlags): FlagImage {
  if (kind === 'float') return comparisonImage(b, a, other);
  const image = kind === 'stored' ? { result, aux: a } : flagImage(b, kind, size, a, other, result);
  if (carry === undefined) return image;
  const rest = b.and(image.aux, b.i64((1n << 62n) - 1n));
  const high = b.shl(b.extendU(carry.cf), b.i64(63));
  const next = b.shl(b.extendU(b.xor(carry.cf, carry.of)), b.i64(62));
  return { result: image.result, aux: b.or(rest, b.or(high, next)) };
}

const SIZES = [1, 2, 4, 8] as const;
const OPERATIONS = ['add', 'sub', 'logic'] as const;

/**
 * Where paths join, what flags wait for is a number: 0 for `stored`, else the operation and its size. So a loop that sets
 * flags in every round, which only a fault could show, computes none.
 */
export const STORED = 0;
const joinedNumber = (kind: FlagOperation, size: Width): number =>
  1 + OPERATIONS.indexOf(kind) * SIZES.length + SIZES.indexOf(size);

/** Flags at a join: a kind number, and two values from which the rest follows. */
export interface JoinedFlags {
  readonly kind: number;
  readonly a: Value;
  readonly b: Value;
}

/** What is kept of flags that wait, or of their image where more than two values would be needed. */
export function joinFlags(b: Builder, pending: PendingFlags): JoinedFlags {
  const { kind, size, plain, carry, result } = pending;
  if (carry === undefined) {
    if (kind === 'logic') return { kind: joinedNumber(kind, size), a: result, b: result };
    if ((kind === 'add' || kind === 'sub') && plain)
      return { kind: joinedNumber(kind, size), a: pending.a, b: pending.b };
  }
  // The parts of an image are computed on this path alone.
  const image = imageOf(b, pending);
  return { kind: STORED, a: b.copy(image.aux), b: b.copy(image.result) };
}

/** `storeFlags` (cpu, kind number, a, b): brings joined flags to the state block. */
const storeFlags = routine('storeFlags', ['i32', 'i64', 'i64'], undefined, (b, cpu, kind, x, y) => {
  const store = (image: FlagImage) => {
    b.storeHost('i64.store', cpu, image.result, VCPU.offsets.flagResult);
    b.storeHost('i64.store', cpu, image.aux, VCPU.offsets.flagAux);
    b.return();
  };
  b.if(b.eqz(kind), () => store({ result: y, aux: x }));
  for (const operation of OPERATIONS) {
    for (const size of SIZES) {
      b.if(b.eq(kind, b.i32(joinedNumber(operation, size))), () => {
        const result = operation === 'add' ? b.add(x, y) : operation === 'sub' ? b.sub(x, y) : x;
        store(flagImage(b, operation, size, x, y, result));
      });
    }
  }
});

/** What regions call besides the helpers of instructions and memory. */
export const translatorHelpers: readonly Helper[] = [storeFlags];

type FlagName = 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of';

/** `a` relation `b` (i32) for unsigned or, with `signed`, signed operands of the operation. */
function compare(b: Builder, p: PendingFlags, relation: 'eq' | 'ltU' | 'leU' | 'ltS' | 'leS', signed: boolean): Value {
  const operand = (value: Value) => (signed ? b.signExtend(value, p.size) : b.zeroExtend(value, p.size));
  return b[relation](operand(p.a), operand(p.b));
}

const isComparison = (p: PendingFlags): boolean => p.kind === 'sub' && p.plain && p.carry === undefined;

/** One flag as i32, or `undefined` where it takes the full form. */
export function pendingFlag(b: Builder, p: PendingFlags, name: FlagName): Value | undefined {
  if (p.carry !== undefined && (name === 'cf' || name === 'of')) return p.carry[name];
  if (p.kind === 'float') return comparisonFlag(b, p, name);
  if (p.kind === 'stored') return name === 'zf' ? b.eqz(p.result) : undefined;
  switch (name) {
    case 'zf':
      if (p.kind === 'sub' && p.plain) return compare(b, p, 'eq', false);
      return b.eqz(b.zeroExtend(p.result, p.size));
    case 'sf':
      return b.ltS(b.signExtend(p.result, p.size), b.i64(0));
    case 'cf':
      if (p.kind === 'logic') return b.i32(0);
      if (!p.plain) return undefined;
      if (p.kind === 'sub') return compare(b, p, 'ltU', false);
      return b.ltU(b.zeroExtend(p.result, p.size), b.zeroExtend(p.a, p.size));
    case 'of':
      return p.kind === 'logic' ? b.i32(0) : undefined;
    default:
      return undefined;
  }
}

/** A condition code (0–15) as i32, or `undefined`. Comparisons need a subtraction without borrow. */
export function pendingCondition(b: Builder, p: PendingFlags, code: number): Value | undefined {
  const even = evenCondition(b, p, code & ~1);
  if (even === undefined) return undefined;
  return code & 1 ? b.eqz(even) : even;
}

function evenCondition(b: Builder, p: PendingFlags, code: number): Value | undefined {
  if (p.kind === 'float' && code >= 6) return comparisonCondition(b, p, code);
  switch (code) {
    case 0:
      return pendingFlag(b, p, 'of');
    case 4:
      return pendingFlag(b, p, 'zf');
    case 8:
      return pendingFlag(b, p, 'sf');
    case 2:
      return pendingFlag(b, p, 'cf');
    case 6:
      if (p.carry !== undefined) return undefined;
      if (p.kind === 'logic') return pendingFlag(b, p, 'zf');
      return isComparison(p) ? compare(b, p, 'leU', false) : undefined;
    case 12:
      if (p.carry !== undefined) return undefined;
      if (p.kind === 'logic') return pendingFlag(b, p, 'sf');
      return isComparison(p) ? compare(b, p, 'ltS', true) : undefined;
    case 14:
      if (p.carry !== undefined) return undefined;
      if (p.kind === 'logic') return b.leS(b.signExtend(p.result, p.size), b.i64(0));
      return isComparison(p) ? compare(b, p, 'leS', true) : undefined;
    default:
      return undefined;
  }
}

/** Comparisons of floats are false for NaNs, and flags of unordered operands are set: so the opposites are compared. */
function comparisonFlag(b: Builder, { a, b: c }: PendingFlags, name: FlagName): Value {
  const op = (comparison: string, x: Value, y: Value) => b.op(`${x.type}.${comparison}`, x, y);
  switch (name) {
    case 'cf':
      return b.eqz(op('ge', a, c));
    case 'zf':
      return b.eqz(b.or(op('lt', a, c), op('gt', a, c)));
    case 'pf':
      return a === c ? op('ne', a, a) : b.or(op('ne', a, a), op('ne', c, c));
    default:
      return b.i32(0);
  }
}

function comparisonCondition(b: Builder, p: PendingFlags, code: number): Value {
  if (code === 6) return b.eqz(b.op(`${p.a.type}.gt`, p.a, p.b));
  if (code === 10) return comparisonFlag(b, p, 'pf');
  // SF and OF are clear: LE is ZF, S and L never hold.
  return code === 14 ? comparisonFlag(b, p, 'zf') : b.i32(0);
}
