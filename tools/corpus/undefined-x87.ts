/** What the manuals leave undefined about x87 instructions: condition codes, and fields of saved states. */

import type { Input, Undefined } from './forms.ts';
import { ERROR_SUMMARY, IMAGE, TEST } from './layout.ts';

const [C0, C1, C2, C3] = [0x100, 0x200, 0x400, 0x4000];

/** Instructions that define all condition codes, or leave them as they are. */
const DEFINED =
  /^(fu?comi?p{0,2}|ficomp?|ftst|fxam|fprem1?|fldenv|fnstenv|frstor|fnsave|fninit|fxsave|fxrstor|fwait|f2xm1|fn(eni|disi|setpm))$/;

/** Status-word bits that an instruction leaves undefined (SDM vol. 2A, "FPU flags affected"). */
export function undefinedConditions(name: string): number {
  if (DEFINED.test(name)) return name === 'f2xm1' ? C0 | C2 | C3 : 0;
  if (/^(fsin|fcos|fsincos|fptan)$/.test(name)) return C0 | C3;
  if (/^(fnclex|fldcw|fnstcw|fnstsw|fnop|ffreep?)$/.test(name)) return C0 | C1 | C2 | C3;
  return C0 | C2 | C3;
}

type Stretch = readonly [number, number];

/** Selectors and the reserved upper halves of the fields of an environment. */
const ENVIRONMENT: Readonly<Record<2 | 4, readonly Stretch[]>> = {
  2: [
    [8, 2],
    [12, 2],
  ],
  4: [
    [2, 2],
    [6, 2],
    [10, 2],
    [16, 2],
    [24, 4],
  ],
};

/** FXSAVE: reserved bytes, MXCSR_MASK, selectors; the pointers where no exception is pending. */
function saveArea(input: Input, wide: boolean): readonly Stretch[] {
  const pending = (input.view.getUint16(TEST.image + IMAGE.status, true) & ERROR_SUMMARY) !== 0;
  const selectors: readonly Stretch[] = wide
    ? []
    : [
        [12, 4],
        [20, 4],
      ];
  const registers: readonly Stretch[] = Array.from({ length: 8 }, (_, i) => [32 + 16 * i + 10, 6] as const);
  return [[5, 1], [28, 4], ...(pending ? selectors : [[6, 18] as const]), ...registers, [416, 96]];
}

/** Undefined stretches of what an instruction saves at `offset` (from DATA). */
export function savedState(input: Input, name: string, operandSize: 2 | 4 | 8, offset: number): Undefined {
  let parts: readonly Stretch[];
  if (name === 'fnstenv' || name === 'fnsave') parts = ENVIRONMENT[operandSize === 2 ? 2 : 4];
  else if (name === 'fxsave') parts = saveArea(input, operandSize === 8);
  else return {};
  return { memory: parts.map(([at, length]) => [offset + at, length]) };
}
