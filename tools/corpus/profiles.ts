/** What an instruction takes besides its written operands, and which of its inputs are worth more than random values. */

import type { Definition } from '../../src/isa/definition.ts';
import type { Random } from './prng.ts';
import type { Pointer, Range, Setup } from './setup.ts';
import { unitProfile, unitWeight } from './unit-profiles.ts';
import type { Maker, Profile, Registers, Variant } from './variant.ts';

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7];

const fixedProfile =
  (profile: Profile): Maker =>
  () =>
    profile;

/** The stack pointer, set so that `bias` bytes above it is where the access begins. */
function stackPointer(size: number, bias: number): Pointer {
  return { register: RSP, ...(bias !== 0 && { bias }), align: size };
}

/** `slots`: operands pushed (negative bias) or popped (0). */
function stack(slots: number, more: Profile = {}): Maker {
  return (_random, { operandSize }) => ({
    ...more,
    pointers: [stackPointer(operandSize, -slots * operandSize), ...(more.pointers ?? [])],
  });
}

const CODE: Setup = { memory: 'code' };

function stringOperation(source: boolean, destination: boolean, compares: boolean, fewest = 0): Maker {
  return (random, { encoding, operandSize, repeat }) => {
    const size = (encoding.opcode & 1) === 0 ? 1 : operandSize;
    const pointer = (register: number): Pointer => ({ register, ...(size > 1 && { align: size }) });
    const most = Math.max(3, 48 / size);
    return {
      setup: { string: true, ...(compares && !random.once(3) && { memory: 'text' }) },
      pointers: [...(source ? [pointer(RSI)] : []), ...(destination ? [pointer(RDI)] : [])],
      overridden: source ? RSI : -1,
      ranges: repeat === 0 ? [] : [{ register: RCX, minimum: fewest, maximum: most }],
    };
  };
}

/** A small upper half of the dividend: otherwise nearly every quotient is too large. */
function division(signed: boolean): Maker {
  return (random, { encoding, operandSize }) => {
    const taken = [RAX, RDX];
    if (encoding.opcode === 0xf6) {
      const range: Range = { register: RAX, minimum: signed ? -300 : 0, maximum: 600 };
      return { taken, ranges: random.once(3) ? [] : [range] };
    }
    const most = operandSize === 2 ? 40 : 3;
    const range: Range = { register: RDX, minimum: signed ? -most : 0, maximum: most };
    return { taken, ranges: random.once(3) ? [] : [range] };
  };
}

/** A bit offset in a register reaches beyond a memory operand. */
const bitTest: Maker = (_random, { encoding, kind }, { reg }) => {
  if (kind !== 'memory' || encoding.extension >= 0) return {};
  return { ranges: [{ register: reg, minimum: -3000, maximum: 3000 }] };
};

/** A count that often runs out. */
const counted: Maker = (random) => ({
  ranges: random.once(2) ? [{ register: RCX, minimum: 0, maximum: 2 }] : [],
});

const jumpIndirect: Maker = (_random, { kind }, { rm }) => (kind === 'memory' ? { setup: CODE } : { targets: [rm] });

const callIndirect: Maker = (random, variant, registers) => ({
  ...jumpIndirect(random, variant, registers),
  ...(variant.kind === 'register' && registers.rm === RSP ? { targets: [] } : {}),
  pointers: [stackPointer(variant.operandSize, -variant.operandSize)],
});

const enter: Maker = (_random, { operandSize }) => ({
  pointers: [stackPointer(operandSize, 0), { register: RBP, align: operandSize }],
});

const digits = fixedProfile({ setup: { gpr: 'digits' } });

/** Selectors of the world's descriptor tables and what lies between them, with any RPL; no null ones. */
const SELECTORS = { minimum: 4, maximum: 0x37 } as const;

const moveToSegment: Maker = (_random, { encoding, kind }, { rm }) =>
  encoding.opcode === 0x8e && kind === 'register' ? { ranges: [{ register: rm, ...SELECTORS }] } : {};

const selectorOperand: Maker = (_random, { kind }, { rm }) =>
  kind === 'register' ? { ranges: [{ register: rm, ...SELECTORS }] } : {};

const MAKERS: Readonly<Record<string, Maker>> = {
  mov: moveToSegment,
  lar: selectorOperand,
  lsl: selectorOperand,
  verr: selectorOperand,
  verw: selectorOperand,
  lldt: selectorOperand,
  ltr: selectorOperand,
  // Whether the right to a port is looked at for a count of 0 is left to the processor.
  ins: stringOperation(false, true, false, 1),
  outs: stringOperation(true, false, false, 1),
  push: stack(1),
  pop: stack(0),
  pusha: stack(8),
  popa: stack(0),
  pushf: stack(1),
  popf: stack(0),
  enter,
  leave: (_random, { operandSize }) => ({ pointers: [{ register: RBP, align: operandSize }] }),
  call: (random, variant, registers) =>
    variant.kind === 'none' ? stack(1)(random, variant, registers) : callIndirect(random, variant, registers),
  ret: stack(0, { setup: CODE }),
  jmp: (random, variant, registers) => (variant.kind === 'none' ? {} : jumpIndirect(random, variant, registers)),
  movs: stringOperation(true, true, false),
  cmps: stringOperation(true, true, true),
  stos: stringOperation(false, true, false),
  lods: stringOperation(true, false, false),
  scas: stringOperation(false, true, true),
  xlatb: fixedProfile({ pointers: [{ register: RBX }], overridden: RBX }),
  div: division(false),
  idiv: division(true),
  mul: fixedProfile({ taken: [RAX, RDX] }),
  imul: (_random, { encoding }) => (encoding.extension >= 0 ? { taken: [RAX, RDX] } : {}),
  cmpxchg: fixedProfile({ taken: [RAX] }),
  cmpxchg8b: fixedProfile({ taken: [RAX, RBX, RCX, RDX] }),
  cmpxchg16b: fixedProfile({ taken: [RAX, RBX, RCX, RDX] }),
  bt: bitTest,
  bts: bitTest,
  btr: bitTest,
  btc: bitTest,
  loop: counted,
  loope: counted,
  loopne: counted,
  jcxz: counted,
  jecxz: counted,
  jrcxz: counted,
  daa: digits,
  das: digits,
  aaa: digits,
  aas: digits,
  aam: digits,
  aad: digits,
};

/** Name without the operand size at the end of string instructions. */
function familyName(definition: Definition): string {
  const { name } = definition;
  return /^(movs|cmps|stos|lods|scas|ins|outs)[bwdq]$/.test(name) && definition.unit === undefined
    ? name.slice(0, -1)
    : name;
}

/** What an instruction needs, for operands that were chosen at random. */
export function profileOf(random: Random, variant: Variant, registers: Registers): Profile {
  const { definition, operands } = variant.encoding;
  const { unit } = definition;
  const maker = unit === undefined ? MAKERS[familyName(definition)] : unitProfile;
  const made = maker?.(random, variant, registers) ?? {};
  const implied = operands.filter((o) => o.letter === 'fixed').map((o) => FIXED_REGISTERS[o.size] ?? -1);
  return { ...made, taken: [...(made.taken ?? []), ...implied.filter((register) => register >= 0)] };
}

const FIXED_REGISTERS: Readonly<Record<string, number>> = { AL: RAX, AX: RAX, eAX: RAX, rAX: RAX, CL: RCX, DX: RDX };

/** How many cases a form gets, compared with others of its mode. */
export function weightOf(variant: Variant): number {
  const { name, unit } = variant.encoding.definition;
  if (unit !== undefined) return unitWeight(variant);
  const mode = variant.mode === 64 ? 1 : 0.6;
  const interesting = /^(sh[lr]d?|sal|sar|rc[lr]|ro[lr]|i?div|popf|enter)$/.test(name);
  return interesting ? 2 * mode : mode;
}
