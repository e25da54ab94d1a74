/** All floating-point routines. */
import type { Helper } from '../helpers.ts';
import { arithmeticRoutines } from './arithmetic.ts';
import { compareRoutines } from './compare.ts';
import { convertRoutines } from './convert.ts';
import { decimalRoutines } from './decimal.ts';
import { exponentRoutines } from './exponent.ts';
import { integralRoutines } from './integral.ts';
import { packRoutines } from './pack.ts';
import { wideRoutines } from './wide.ts';

export const floatHelpers: readonly Helper[] = [
  ...wideRoutines,
  ...packRoutines,
  ...arithmeticRoutines,
  ...compareRoutines,
  ...integralRoutines,
  ...convertRoutines,
  ...decimalRoutines,
  ...exponentRoutines,
];
