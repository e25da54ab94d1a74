/** What the manuals leave undefined about an instruction's outcome, for the inputs at hand. */

import type { Choice } from './assemble.ts';
import type { Encoding as Code, Input, Undefined } from './forms.ts';
import { DATA_SIZE, dataBase, initialByte, type Mode, SEGMENTS } from './layout.ts';
import { pointedOffset } from './setup.ts';
import { savedState, undefinedConditions } from './undefined-x87.ts';
import type { Variant } from './variant.ts';

/** An encoding with the operands that it was made of. */
export interface Assembled extends Code {
  readonly choice: Choice;
}

const FLAG_BITS: Readonly<Record<string, number>> = { c: 1, p: 4, a: 0x10, z: 0x40, s: 0x80, o: 0x800 };
const { c: CF, a: AF, o: OF } = FLAG_BITS as { c: number; a: number; o: number };
const STATUS_FLAGS = 0x8d5;

/** The bits of a string of flag letters. */
export function flagBits(letters: string): number {
  return [...letters].reduce((bits, letter) => bits | (FLAG_BITS[letter] ?? 0), 0);
}

/** Offset from DATA of the memory operand of a case, not counting a bit offset. */
export function operandOffset(input: Input, { choice, setup }: Assembled): number {
  const { rm, mode } = choice;
  if (typeof rm === 'number') throw new TypeError('a register operand has no address');
  const size = rm.size;
  const low = (value: bigint): bigint => BigInt.asUintN(size, value);
  const base = typeof rm.base === 'number' && rm.base >= 0 ? input.gpr(rm.base) : 0n;
  const index = rm.index < 0 ? 0n : input.gpr(rm.index) << BigInt(rm.scale);
  const segment = setup.pointers?.find((p) => p.register === rm.base)?.segment ?? 'ds';
  const linear = SEGMENTS[mode as Mode][segment].base + low(base + index + rm.displacement);
  const absolute = mode === 64 && rm.base === -1;
  return Number(BigInt.asUintN(mode === 64 ? 64 : 32, linear) - (absolute ? dataBase(mode, 32) : dataBase(mode, size)));
}

/** The value of an operand in ModRM.rm, `size` bytes; memory outside the data pages reads as 0 (the case faults). */
function rmValue(input: Input, assembled: Assembled, size: number): bigint {
  const { rm } = assembled.choice;
  if (typeof rm === 'number') return BigInt.asUintN(size * 8, input.gpr(rm));
  const offset = operandOffset(input, assembled);
  let value = 0n;
  if (offset < 0 || offset + size > DATA_SIZE) return value;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(initialByte(input.view, offset + i));
  return value;
}

/** All of the operand in ModRM.rm. */
function rmUndefined(input: Input, assembled: Assembled, size: number): Undefined {
  const { rm } = assembled.choice;
  return typeof rm === 'number' ? { gpr: 1 << rm } : { memory: [[operandOffset(input, assembled), size]] };
}

/** The count of a shift: an immediate, CL or 1, cut as the processor does. */
function shiftCount(input: Input, { encoding }: Variant, assembled: Assembled, bits: number): number {
  const last = encoding.operands.at(-1)!;
  const { constants } = assembled.choice;
  const count = last.size === 'CL' ? input.gpr(1) : last.letter === 'I' ? constants[0]! : 1n;
  return Number(count & (bits === 64 ? 63n : 31n));
}

type Rule = (input: Input, variant: Variant, assembled: Assembled) => Undefined;

const bitsOf = ({ encoding, operandSize }: Variant): number =>
  encoding.operands[0]!.size === 'b' ? 8 : operandSize * 8;

const shiftRule: Rule = (input, variant, assembled) => {
  const bits = bitsOf(variant);
  const count = shiftCount(input, variant, assembled, bits);
  if (count === 0) return {};
  const lost = count > bits && variant.encoding.definition.name !== 'sar' ? CF : 0;
  return { flags: AF | (count === 1 ? 0 : OF) | lost };
};

const rotateRule: Rule = (input, variant, assembled) =>
  shiftCount(input, variant, assembled, bitsOf(variant)) <= 1 ? {} : { flags: OF };

/** A 16-bit operand can be shifted by more than its size: nothing is defined then. */
const doubleShiftRule: Rule = (input, variant, assembled) => {
  const bits = bitsOf(variant);
  const count = shiftCount(input, variant, assembled, bits);
  if (count === 0) return {};
  if (count > bits) return { flags: STATUS_FLAGS, ...rmUndefined(input, assembled, bits / 8) };
  return { flags: AF | (count === 1 ? 0 : OF) };
};

const scanRule: Rule = (input, variant, assembled) => {
  const { reg } = assembled.choice;
  const flags = flagBits('osapc');
  return rmValue(input, assembled, variant.operandSize) === 0n ? { flags, gpr: 1 << reg } : { flags };
};

const swapRule: Rule = (_input, variant, { choice }) =>
  variant.operandSize === 2 ? { gpr: 1 << choice.opcodeRegister } : {};

/** A selector pushed by a 32-bit instruction: the upper half of its slot is written or not. */
const pushRule: Rule = (input, { encoding, operandSize }, { setup }) => {
  if (encoding.operands[0]!.letter !== 'fixed' || operandSize !== 4) return {};
  return { memory: [[pointedOffset(input.view, input.mode, setup, setup.pointers![0]!) + 2, 2]] };
};

/** Bits 16–19 of what LAR loads are undefined, so all of a wide register is left out. */
const accessRule: Rule = (_input, { operandSize }, { choice }) => (operandSize === 2 ? {} : { gpr: 1 << choice.reg });

const RULES: Readonly<Record<string, Rule>> = {
  lar: accessRule,
  push: pushRule,
  shl: shiftRule,
  shr: shiftRule,
  sar: shiftRule,
  rol: rotateRule,
  ror: rotateRule,
  rcl: rotateRule,
  rcr: rotateRule,
  shld: doubleShiftRule,
  shrd: doubleShiftRule,
  bsf: scanRule,
  bsr: scanRule,
  bswap: swapRule,
};

/** What is undefined after one case of a variant. */
export function undefinedParts(input: Input, variant: Variant, assembled: Assembled): Undefined {
  const { name, unit, undefined: letters = '' } = variant.encoding.definition;
  if (unit === 'x87') {
    const status = undefinedConditions(name);
    const offset = variant.kind === 'memory' ? operandOffset(input, assembled) : 0;
    return { ...(status !== 0 && { status }), ...savedState(input, name, variant.operandSize, offset) };
  }
  const rule = RULES[name];
  if (rule !== undefined) return rule(input, variant, assembled);
  return letters === '' ? {} : { flags: flagBits(letters) };
}
