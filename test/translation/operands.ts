/** Operands as the tests' assembler reads them. */
import type { Address } from '../../tools/corpus/assemble.ts';

export type Parsed =
  | { readonly kind: 'gpr'; readonly index: number; readonly size: number; readonly rex: boolean }
  | { readonly kind: 'xmm' | 'mmx' | 'control' | 'debug'; readonly index: number }
  | { readonly kind: 'segment'; readonly index: number; readonly text: string }
  | { readonly kind: 'immediate'; readonly value: bigint }
  | { readonly kind: 'memory'; readonly size: number; readonly address: Address };

const CLASSIC = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const LOW = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const SIZES: Readonly<Record<string, number>> = { byte: 1, word: 2, dword: 4, qword: 8, oword: 16 };

const registers = new Map<string, Parsed>();
const gpr = (name: string, index: number, size: number, rex = false) =>
  registers.set(name, { kind: 'gpr', index, size, rex });
CLASSIC.forEach((name, i) => {
  gpr(name, i, 2);
  gpr(`e${name}`, i, 4);
  gpr(`r${name}`, i, 8);
  gpr(LOW[i], i, 1, i >= 4);
});
HIGH.forEach((name, i) => {
  gpr(name, i + 4, 1);
});
for (let i = 8; i < 16; i++)
  for (const [suffix, size] of [
    ['', 8],
    ['d', 4],
    ['w', 2],
    ['b', 1],
  ] as const)
    gpr(`r${i}${suffix}`, i, size);
for (let i = 0; i < 16; i++) registers.set(`xmm${i}`, { kind: 'xmm', index: i });
for (let i = 0; i < 8; i++) {
  registers.set(`mm${i}`, { kind: 'mmx', index: i });
  registers.set(`cr${i}`, { kind: 'control', index: i });
  registers.set(`dr${i}`, { kind: 'debug', index: i });
}
SEGMENTS.forEach((text, index) => {
  registers.set(text, { kind: 'segment', index, text });
});

/** A sum of numbers and names. */
function constant(text: string, resolve: (name: string) => bigint): bigint {
  let sum = 0n;
  for (const [, sign, term] of text.replaceAll(' ', '').matchAll(/([+-]?)(\w+)/g)) {
    const value = /^\d/.test(term) ? BigInt(term) : resolve(term);
    sum += sign === '-' ? -value : value;
  }
  return sum;
}

function parseMemory(text: string, bits: 32 | 64, resolve: (name: string) => bigint): Address {
  let base = -1;
  let index = -1;
  let scale = 0;
  let size: 32 | 64 = bits;
  const rest: string[] = [];
  for (const [term] of text.replaceAll(' ', '').matchAll(/[+-]?[\w*]+/g)) {
    const [name, factor] = term.replace('+', '').split('*');
    const register = registers.get(name);
    if (register?.kind !== 'gpr') {
      rest.push(term);
      continue;
    }
    size = register.size === 8 ? 64 : 32;
    if (factor === undefined && base < 0) base = register.index;
    else {
      index = register.index;
      scale = Math.log2(Number(factor ?? 1));
    }
  }
  const displacement = BigInt.asIntN(64, constant(rest.join(''), resolve));
  const small = BigInt.asIntN(8, displacement) === displacement;
  const bytes = base < 0 ? 4 : displacement === 0n && (base & 7) !== 5 ? 0 : small ? 1 : 4;
  return { size, base, index, scale, displacement, displacementBytes: bytes };
}

/** Reads one operand; `resolve` gives the values of names. */
export function parseOperand(text: string, bits: 32 | 64, resolve: (name: string) => bigint): Parsed {
  const register = registers.get(text);
  if (register !== undefined) return register;
  const memory = /^(?:(\w+) ?)?\[(.*)\]$/.exec(text);
  if (memory === null) return { kind: 'immediate', value: constant(text, resolve) };
  const size = memory[1] === undefined ? 0 : SIZES[memory[1]];
  if (size === undefined) throw new SyntaxError(`size ${memory[1]}`);
  return { kind: 'memory', size, address: parseMemory(memory[2], bits, resolve) };
}
