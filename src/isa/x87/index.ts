/** The x87 unit. */
import type { Definition } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import { arithmetic } from './arithmetic.ts';
import { compare, compareHelpers } from './compare.ts';
import { constantHelpers, constants } from './constants.ts';
import { control, controlHelpers } from './control.ts';
import { environmentHelpers, environmentInstructions } from './environment.ts';
import { loadStore, loadStoreHelpers } from './load-store.ts';
import { x87Routines } from './routines.ts';
import { transcendental, transcendentalHelpers } from './transcendental.ts';

export const x87: readonly Definition[] = [
  ...arithmetic,
  ...compare,
  ...constants,
  ...control,
  ...environmentInstructions,
  ...loadStore,
  ...transcendental,
];

/** Helpers of the x87 instructions; they call those of `float/routines.ts`. */
export const x87Helpers: readonly Helper[] = [
  ...x87Routines,
  ...compareHelpers,
  ...constantHelpers,
  ...controlHelpers,
  ...environmentHelpers,
  ...loadStoreHelpers,
  ...transcendentalHelpers,
];
