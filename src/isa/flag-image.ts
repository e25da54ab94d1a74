/** How the state block keeps the status flags of an operation; see `VCPU.flagResult`. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/node.ts';

export type FlagOperation = 'add' | 'sub' | 'logic';

/** What goes to `flagResult` and `flagAux`. */
export interface FlagImage {
  readonly result: Value;
  readonly aux: Value;
}

/** CF, OF and AF from the carries out of each bit. */
function carryBits(b: Builder, size: number, carries: Value): Value {
  const high = b.and(b.shl(carries, b.i64(64 - size * 8)), b.i64(0b11n << 62n));
  return b.or(high, b.and(carries, b.i64(8)));
}

/**
 * Flags of `x` op `y` (with a carry or borrow, or without) = `result`, of which the low `size` bytes count; those of a logical
 * operation depend on the result alone.
 */
export function flagImage(
  b: Builder,
  operation: FlagOperation,
  size: 1 | 2 | 4 | 8,
  x: Value,
  y: Value,
  result: Value,
): FlagImage {
  const image = b.signExtend(result, size);
  if (operation === 'logic') return { result: image, aux: b.i64(0) };
  const one = operation === 'add' ? x : b.not(x);
  const last = operation === 'add' ? b.not(result) : result;
  const carries = b.or(b.and(one, y), b.and(b.or(one, y), last));
  return { result: image, aux: carryBits(b, size, carries) };
}
