/** Inputs of x87, MMX and SSE instructions. */

import type { Definition } from '../../src/isa/definition.ts';
import { APPROXIMATE_RECIPROCAL, APPROXIMATE_X87, type Approximate } from './forms.ts';
import type { Random } from './prng.ts';
import type { Setup } from './setup.ts';
import type { Maker, Variant } from './variant.ts';

const [RAX, RDX, RDI] = [0, 2, 7];

/** Arithmetic on floating-point numbers: its inputs are numbers, and MXCSR is random. */
const ARITHMETIC = /^(add|sub|mul|div|sqrt|min|max|cmp|u?comi|cvtt?|round|dp|rcp|rsqrt|hadd|hsub|addsub)/;

/** The format of what an SSE instruction reads, by its name. */
function elementKind(random: Random, name: string): Setup['vector'] {
  if (!ARITHMETIC.test(name)) return 'int';
  const source = /^cvtt?(ps|ss|pd|sd|dq|si|pi)2/.exec(name)?.[1] ?? name.slice(-2);
  if (source === 'ps' || source === 'ss') return 'f32';
  if (source === 'pd' || source === 'sd') return 'f64';
  // Integers that are converted: with a random MXCSR, which comes with numbers.
  return random.pick(['f32', 'f64', 'int']);
}

function sseProfile(random: Random, name: string): Setup {
  if (/^pcmp[ei]str/.test(name)) return { vector: 'text', memory: 'text' };
  const vector = elementKind(random, name) ?? 'int';
  return { vector, ...(vector !== 'int' && { memory: vector }) };
}

/** What the memory operand of an x87 instruction holds. */
function x87Memory(random: Random, { encoding, operandSize }: Variant): Setup['memory'] {
  const { name } = encoding.definition;
  if (name === 'fldenv' || name === 'frstor') return operandSize === 2 ? 'env16' : 'env32';
  if (name === 'fxrstor') return 'fxsave';
  if (name === 'fldcw') return random.once(2) ? 'env16' : 'int';
  if (name === 'fbld') return 'decimal';
  // Stores, and operands that are integers.
  if (/^(fi|fst|fbstp|fn)/.test(name)) return 'int';
  const size = encoding.operands[0]?.memorySize;
  return size === 'd' ? 'f32' : size === 'q' ? 'f64' : 'f80';
}

function withMemory(setup: Setup, memory: Setup['memory']): Setup {
  return memory === 'int' || memory === undefined ? setup : { ...setup, memory };
}

/** Kinds of the values in the registers and in memory, and implicit operands, of an instruction of a unit. */
export const unitProfile: Maker = (random, variant) => {
  const { definition, operands } = variant.encoding;
  const { name, unit } = definition;
  if (unit === 'x87' || unit === 'fwait') {
    const vector: Setup = name.startsWith('fxsave') || name.startsWith('fxrstor') ? { vector: 'int' } : {};
    const memory = variant.kind === 'memory' ? x87Memory(random, variant) : 'int';
    const align = name.startsWith('fx') ? 16 : variant.operandSize === 2 ? 2 : 4;
    const whole = /^(fldenv|frstor|fnstenv|fnsave|fxsave|fxrstor)$/.test(name);
    const ten = operands[0]?.memorySize === 't';
    return { setup: withMemory({ ...vector, fpu: 'f80' }, memory), ...(whole ? { align } : ten && { align: 16 }) };
  }
  const usesMmx = unit === 'mmx' || operands.some((o) => 'PQN'.includes(o.letter));
  const setup = unit === 'mmx' && !/^cvt/.test(name) ? {} : sseProfile(random, name);
  const ranges = /^pcmpestr/.test(name) ? [RAX, RDX].map((register) => ({ register, minimum: -20, maximum: 20 })) : [];
  const masked = name.startsWith('maskmov');
  return {
    setup: usesMmx ? { ...setup, fpu: 'mmx' } : setup,
    ranges,
    ...(masked && { pointers: [{ register: RDI, align: 8 }], overridden: RDI }),
  };
};

/** How many cases a form gets: most in 64-bit mode, where the other modes do the same arithmetic. */
export function unitWeight({ encoding, mode }: Variant): number {
  const { name, unit } = encoding.definition;
  // Many of their inputs are left out (`determined.ts`).
  if (/^(fsin|fcos|fsincos|fptan|maskmovq|maskmovdqu)$/.test(name)) return 1;
  if (mode !== 64) return 0.36;
  if (unit === 'x87') return 3;
  return unit === 'sse' && ARITHMETIC.test(name) ? 4 : 1;
}

/** The tolerance of functions that processors compute differently. */
export function approximationOf({ name }: Definition): Approximate | undefined {
  if (/^(rcp|rsqrt)[ps]s$/.test(name)) return APPROXIMATE_RECIPROCAL;
  return /^(fsin|fcos|fsincos|fptan|fpatan|f2xm1|fyl2x|fyl2xp1)$/.test(name) ? APPROXIMATE_X87 : undefined;
}
