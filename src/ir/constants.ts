/** Constant values. Functions share those of small integers, as nothing is ever noted in a constant. */
import { simpleNode, type Value } from './node.ts';
import type { Type } from './types.ts';

export const constant = (type: Type, value: number | bigint | Uint8Array): Value =>
  simpleNode('const', type, undefined, undefined, 0, undefined, value);

const FIRST_SMALL = -128;
const PAST_SMALL = 1024;

const isSmall = (value: number): boolean => value >= FIRST_SMALL && value < PAST_SMALL && Number.isInteger(value);

const smallConstants = (type: Type, convert: (value: number) => number | bigint): readonly Value[] =>
  Array.from({ length: PAST_SMALL - FIRST_SMALL }, (_, i) => constant(type, convert(FIRST_SMALL + i)));

const SMALL_I32 = smallConstants('i32', (value) => value);
const SMALL_I64 = smallConstants('i64', BigInt);

/** The low 32 bits of a number. */
export function constantI32(value: number): Value {
  return isSmall(value) ? SMALL_I32[value - FIRST_SMALL] : constant('i32', value | 0);
}

/** The low 64 bits of an integer. */
export function constantI64(value: bigint | number): Value {
  if (typeof value === 'number' && isSmall(value)) return SMALL_I64[value - FIRST_SMALL];
  return constant('i64', BigInt.asIntN(64, BigInt(value)));
}
