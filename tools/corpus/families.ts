/** The instruction tables by the corpus file that their forms go to, and what is left out of the corpus. */

import type { Definition } from '../../src/isa/definition.ts';
import { arithmetic } from '../../src/isa/integer/arithmetic.ts';
import { bcd } from '../../src/isa/integer/bcd.ts';
import { bit } from '../../src/isa/integer/bit.ts';
import { bmi } from '../../src/isa/integer/bmi.ts';
import { branch } from '../../src/isa/integer/branch.ts';
import { exchange } from '../../src/isa/integer/exchange.ts';
import { flags } from '../../src/isa/integer/flags.ts';
import { logic } from '../../src/isa/integer/logic.ts';
import { misc } from '../../src/isa/integer/misc.ts';
import { move } from '../../src/isa/integer/move.ts';
import { multiply } from '../../src/isa/integer/multiply.ts';
import { nop } from '../../src/isa/integer/nop.ts';
import { shift } from '../../src/isa/integer/shift.ts';
import { stack } from '../../src/isa/integer/stack.ts';
import { string } from '../../src/isa/integer/string.ts';
import type { Variant } from './profiles.ts';

export const FAMILIES: Readonly<Record<string, readonly Definition[]>> = {
  arithmetic,
  logic,
  shift,
  multiply,
  bit,
  bmi,
  move,
  exchange,
  stack,
  branch,
  string,
  miscellaneous: [...bcd, ...flags, ...misc, ...nop],
};

/** Whether a definition can be recorded: its outcome follows from the state, and it stays out of the kernel. */
export function isRecordable(definition: Definition): boolean {
  return definition.unrecorded !== true;
}

/** Forms in which processors of the two makers differ, by name, encoding and operand form. */
const DIFFERENT: readonly (readonly [encoding: string, operandSize: number, kind: Variant['kind']])[] = [
  // AMD: #UD; Intel: no operation.
  ['0f 0d /r E', 0, 'register'],
  // AMD reads four bytes, Intel two.
  ['63 /r o64 Gv,Ez', 2, 'memory'],
];

/** Whether the outcome of a variant is the same on all processors. */
export function isCommon({ encoding, operandSize, kind }: Variant): boolean {
  return !DIFFERENT.some(
    ([text, size, form]) => text === encoding.text && form === kind && (size === 0 || size === operandSize),
  );
}
