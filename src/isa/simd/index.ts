/** MMX, SSE to SSE4.2, AES-NI and PCLMULQDQ. */
import { type Definition, define } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import { aes, aesRoutines } from './aes.ts';
import { carryless, carrylessRoutines } from './carryless.ts';
import { differenceRoutines, differences } from './differences.ts';
import { dotProduct, dotProductRoutines } from './dot-product.ts';
import { floatArithmetic } from './float-arithmetic.ts';
import { floatCompare, floatCompareRoutines } from './float-compare.ts';
import { floatConvert, floatConvertRoutines } from './float-convert.ts';
import { finish } from './float-element.ts';
import { floatRound, floatRoundRoutines } from './float-round.ts';
import { floatRoutines } from './float-routines.ts';
import { floatToInteger, floatToIntegerRoutines } from './float-to-integer.ts';
import { insertExtract } from './insert-extract.ts';
import { maskedStores } from './masked-store.ts';
import { moves } from './moves.ts';
import { ordering } from './ordering.ts';
import { packedArithmetic } from './packed-arithmetic.ts';
import { packedShift } from './packed-shift.ts';
import { reciprocals } from './reciprocal.ts';
import { shuffle } from './shuffle.ts';
import { stringCompareRoutines, stringComparison } from './string-compare.ts';

export const simd: readonly Definition[] = define([
  ...moves,
  ...maskedStores,
  ...ordering,
  ...insertExtract,
  ...shuffle,
  ...packedArithmetic,
  ...packedShift,
  ...differences,
  ...floatArithmetic,
  ...floatCompare,
  ...floatConvert,
  ...floatToInteger,
  ...floatRound,
  ...reciprocals,
  ...dotProduct,
  ...stringComparison,
  ...aes,
  ...carryless,
]);

/** They call the routines of `float/`. */
export const simdHelpers: readonly Helper[] = [
  finish,
  ...floatRoutines,
  ...floatCompareRoutines,
  ...floatConvertRoutines,
  ...floatToIntegerRoutines,
  ...floatRoundRoutines,
  ...dotProductRoutines,
  ...differenceRoutines,
  ...stringCompareRoutines,
  ...aesRoutines,
  ...carrylessRoutines,
];
