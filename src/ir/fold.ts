/** Constant folding and the identities that instruction semantics produce most: x + 0, x & -1, shifts by constants. */
import type { Value } from './node.ts';

const BINARY: Record<string, (a: bigint, b: bigint, bits: bigint) => bigint> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, bits) => a << (b & (bits - 1n)),
  shr_u: (a, b, bits) => BigInt.asUintN(Number(bits), a) >> (b & (bits - 1n)),
  shr_s: (a, b, bits) => a >> (b & (bits - 1n)),
  eq: (a, b) => (a === b ? 1n : 0n),
  ne: (a, b) => (a !== b ? 1n : 0n),
};

/** The constant or operand that a pure operation reduces to, or `undefined`. */
export function foldPure(name: string, args: readonly Value[]): Value | number | bigint | undefined {
  const [type, op] = name.split('.') as [string, string];
  const [a, b] = args as [Value, Value | undefined];
  if (type !== 'i32' && type !== 'i64') return undefined;
  if (b === undefined) return a.kind === 'const' ? foldUnary(type, op, a.value) : undefined;
  if (args.length !== 2 || b.kind !== 'const') return undefined;
  if (a.kind === 'const') {
    const bits = type === 'i64' ? 64n : 32n;
    const fold = BINARY[op];
    return fold && BigInt.asIntN(Number(bits), fold(BigInt(a.value as number), BigInt(b.value as number), bits));
  }
  const neutral = op === 'and' ? -1n : 0n;
  const hasNeutral = ['add', 'sub', 'or', 'xor', 'shl', 'shr_u', 'shr_s', 'rotl', 'rotr', 'and'].includes(op);
  return hasNeutral && BigInt(b.value as number) === neutral ? a : undefined;
}

function foldUnary(type: string, op: string, raw: number | bigint | Uint8Array): number | bigint | undefined {
  if (typeof raw !== 'number' && typeof raw !== 'bigint') return undefined;
  switch (op) {
    case 'eqz':
      return BigInt(raw) === 0n ? 1 : 0;
    case 'wrap_i64':
      return Number(BigInt.asIntN(32, BigInt(raw)));
    case 'extend_i32_u':
      return BigInt.asUintN(32, BigInt(raw));
    case 'extend_i32_s':
      return BigInt(raw);
    case 'extend8_s':
    case 'extend16_s':
    case 'extend32_s': {
      const value = BigInt.asIntN(Number(op.slice(6, -2)), BigInt(raw));
      return type === 'i64' ? value : Number(value);
    }
    default:
      return undefined;
  }
}
