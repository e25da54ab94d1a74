/** The general-purpose instructions that any program may use. */
import type { Definition } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import { arithmetic } from './arithmetic.ts';
import { bcd } from './bcd.ts';
import { bit, bitHelpers } from './bit.ts';
import { bmi, bmiHelpers } from './bmi.ts';
import { branch } from './branch.ts';
import { exchange } from './exchange.ts';
import { flags } from './flags.ts';
import { logic } from './logic.ts';
import { misc, miscHelpers } from './misc.ts';
import { move } from './move.ts';
import { multiply, multiplyHelpers } from './multiply.ts';
import { nop } from './nop.ts';
import { shift } from './shift.ts';
import { stack } from './stack.ts';
import { string } from './string.ts';

export const integer: readonly Definition[] = [
  ...arithmetic,
  ...multiply,
  ...logic,
  ...shift,
  ...bit,
  ...bmi,
  ...move,
  ...nop,
  ...exchange,
  ...stack,
  ...branch,
  ...string,
  ...bcd,
  ...flags,
  ...misc,
];

export const integerHelpers: readonly Helper[] = [...multiplyHelpers, ...bitHelpers, ...bmiHelpers, ...miscHelpers];
