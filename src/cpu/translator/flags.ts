/** Flags of an operation that was not yet brought to the flag locals: conditions on it become comparisons. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Width } from '../../isa/semantics.ts';

/**
 * `result` = `a` op `b`; values hold at least the low `size` bytes, `a` and `b` zero-extended. With `stored`, `result` and `a`
 * are what the state block keeps as `flagResult` and `flagAux`.
 */
export interface PendingFlags {
  readonly kind: 'add' | 'sub' | 'logic' | 'stored';
  readonly size: Width;
  readonly a: Value;
  readonly b: Value;
  readonly result: Value;
}

type FlagName = 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of';

/** One flag as i32, or `undefined` where it takes the full form. */
export function pendingFlag(b: Builder, p: PendingFlags, name: FlagName): Value | undefined {
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

/** Whether the result is that of the operands alone: no carry or borrow came in. */
function isPlain({ kind, a, b, result }: PendingFlags): boolean {
  const inner = result.kind === 'pure' && result.op.name === 'i64.and' ? result.args[0] : result;
  return inner.kind === 'pure' && inner.op.name === `i64.${kind}` && inner.args[0] === a && inner.args[1] === b;
}

const isComparison = (p: PendingFlags): boolean => p.kind === 'sub' && isPlain(p);
