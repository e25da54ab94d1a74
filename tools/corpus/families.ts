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
import { aes } from '../../src/isa/simd/aes.ts';
import { carryless } from '../../src/isa/simd/carryless.ts';
import { differences } from '../../src/isa/simd/differences.ts';
import { dotProduct } from '../../src/isa/simd/dot-product.ts';
import { floatArithmetic } from '../../src/isa/simd/float-arithmetic.ts';
import { floatCompare } from '../../src/isa/simd/float-compare.ts';
import { floatConvert } from '../../src/isa/simd/float-convert.ts';
import { floatRound } from '../../src/isa/simd/float-round.ts';
import { floatToInteger } from '../../src/isa/simd/float-to-integer.ts';
import { insertExtract } from '../../src/isa/simd/insert-extract.ts';
import { maskedStores } from '../../src/isa/simd/masked-store.ts';
import { moves } from '../../src/isa/simd/moves.ts';
import { ordering } from '../../src/isa/simd/ordering.ts';
import { packedArithmetic } from '../../src/isa/simd/packed-arithmetic.ts';
import { packedShift } from '../../src/isa/simd/packed-shift.ts';
import { reciprocals } from '../../src/isa/simd/reciprocal.ts';
import { shuffle } from '../../src/isa/simd/shuffle.ts';
import { stringComparison } from '../../src/isa/simd/string-compare.ts';
import { system } from '../../src/isa/system/index.ts';
import { arithmetic as x87Arithmetic } from '../../src/isa/x87/arithmetic.ts';
import { compare as x87Compare } from '../../src/isa/x87/compare.ts';
import { constants as x87Constants } from '../../src/isa/x87/constants.ts';
import { control as x87Control } from '../../src/isa/x87/control.ts';
import { environmentInstructions } from '../../src/isa/x87/environment.ts';
import { loadStore as x87LoadStore } from '../../src/isa/x87/load-store.ts';
import { transcendental as x87Transcendental } from '../../src/isa/x87/transcendental.ts';
import type { Variant } from './variant.ts';

const isMmx = (definition: Definition): boolean => definition.unit === 'mmx';

const simdTables = [...insertExtract, ...maskedStores, ...moves, ...ordering, ...packedArithmetic, ...packedShift];

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
  mmx: [...simdTables, ...shuffle, ...floatConvert, ...floatToInteger].filter(isMmx),
  'sse-integer': simdTables.filter((definition) => !isMmx(definition)),
  'sse-shuffle': shuffle.filter((definition) => !isMmx(definition)),
  'sse-float': [...floatArithmetic, ...floatCompare, ...floatRound, ...reciprocals, ...dotProduct],
  'sse-convert': [...floatConvert, ...floatToInteger].filter((definition) => !isMmx(definition)),
  'sse-special': [...differences, ...stringComparison, ...aes, ...carryless],
  'x87-arithmetic': x87Arithmetic,
  'x87-compare': x87Compare,
  'x87-control': [...x87Control, ...environmentInstructions],
  'x87-load-store': [...x87LoadStore, ...x87Constants],
  'x87-transcendental': x87Transcendental,
  system,
};

/** What enters the kernel, or what Linux does in the place of the processor (UMIP). */
const KERNEL = new Set('int int1 int3 into syscall sysenter sysret sysexit sgdt sidt sldt str smsw'.split(' '));
/**
 * What depends on control registers that the recorded world says nothing about, or on the processor: LDMXCSR takes a bit
 * on AMD's that others refuse (`sample-forms.ts` has it with values that all take).
 */
const SETTINGS = new Set('rdpmc xsave xsaveopt xrstor xsetbv invpcid rdmsr wrmsr ldmxcsr'.split(' '));
/** What takes a selector from memory, which no `Setup` puts there: `sample-forms.ts` has such sequences. */
const FAR = new Set('retf iret lds les lss lfs lgs'.split(' '));

/**
 * Whether a definition can be recorded: its outcome follows from the state, and it stays out of the kernel.
 * The transcendental functions differ between processors, within limits.
 */
export function isRecordable(definition: Definition): boolean {
  const { name } = definition;
  if (KERNEL.has(name) || SETTINGS.has(name) || FAR.has(name)) return false;
  if (/^(jmp|call|pop)$/.test(name) && system.includes(definition)) return false;
  return definition.unrecorded !== true || x87Transcendental.includes(definition);
}

/** Forms whose outcome is not the processor's, or not every processor's, by encoding and operand form. */
const DIFFERENT: readonly (readonly [encoding: string, operandSize: number, kind: Variant['kind']])[] = [
  // AMD: #UD; Intel: no operation.
  ['0f 0d /r E', 0, 'register'],
  // AMD reads four bytes, Intel two.
  ['63 /r o64 Gv,Ez', 2, 'memory'],
  // Whether memory that stays as it is must be writable.
  ['63 /r i64 prot Ew,Gw', 0, 'memory'],
  // Most selectors in memory are refused, some name descriptors of the kernel's own, and it may replace null ones.
  ['8e /r Sw,Ew', 0, 'memory'],
  ['0f 02 /r prot Gv,Ew', 0, 'memory'],
  ['0f 03 /r prot Gv,Ew', 0, 'memory'],
  ['0f 00 /4 prot Ew', 0, 'memory'],
  ['0f 00 /5 prot Ew', 0, 'memory'],
];

/** Whether the outcome of a variant is the same on all processors. */
export function isCommon({ encoding, operandSize, kind }: Variant): boolean {
  return !DIFFERENT.some(
    ([text, size, form]) => text === encoding.text && form === kind && (size === 0 || size === operandSize),
  );
}
