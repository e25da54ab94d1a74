/** Flags of an operation that was not yet brought to the flag locals: conditions on it become comparisons. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Width } from '../../isa/semantics.ts';

/**
 * `result` = `a` op `b`; values hold at least the low `size` bytes, `a` and `b` zero-extended. With `stored`, `result` and `a`
 * are what the state block keeps as `flagResult` and `flagAux`. With `float`, `a` and `b` are floats that were compared,
 * see `InstructionBuilder.flagsOfComparison`; `result` and `size` mean nothing.
 */
export interface PendingFlags {
  readonly kind: 'add' | 'sub' | 'logic' | 'stored' | 'float';
  readonly size: Width;
  readonly a: Value;
  readonly b: Value;
  readonly result: Value;
}

type FlagName = 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of';

/** One flag as i32, or `undefined` where it takes the full form. */
export function pendingFlag(b: Builder, p: PendingFlags, name: FlagName): Value | undefined {
  if (p.kind === 'float') return comparisonFlag(b, p, name);
  if (p.kind === 'stored') return name === 'zf' ? b.eqz(p.result) : undefined;
  switch (name) {
    case 'zf':
      return b.eqz(b.zeroExtend(p.result, p.size));
    case 'sf':
      return b.ltS(b.signExtend(p.result, p.size), b.i64(0));
    case 'cf':
      if (p.kind === 'logic') return b.i32(0);
      if (!isPlain(p)) return undefined;
      return p.kind === 'sub' ? b.ltU(p.a, p.b) : b.ltU(b.zeroExtend(p.result, p.size), p.a);
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
      if (p.kind === 'logic') return pendingFlag(b, p, 'zf');
      return isComparison(p) ? b.leU(p.a, p.b) : undefined;
    case 12:
      if (p.kind === 'logic') return pendingFlag(b, p, 'sf');
      return isComparison(p) ? b.ltS(b.signExtend(p.a, p.size), b.signExtend(p.b, p.size)) : undefined;
    case 14:
      if (p.kind === 'logic') return b.leS(b.signExtend(p.result, p.size), b.i64(0));
      return isComparison(p) ? b.leS(b.signExtend(p.a, p.size), b.signExtend(p.b, p.size)) : undefined;
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

/** Whether the result is that of the operands alone: no carry or borrow came in. */
function isPlain({ kind, a, b, result }: PendingFlags): boolean {
  const inner = result.kind === 'pure' && result.op.name === 'i64.and' ? result.args[0] : result;
  return inner.kind === 'pure' && inner.op.name === `i64.${kind}` && inner.args[0] === a && inner.args[1] === b;
}

const isComparison = (p: PendingFlags): boolean => p.kind === 'sub' && isPlain(p);
