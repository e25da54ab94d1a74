/** AES-NI (FIPS 197; SDM vol. 2, AESENC and its kin): rounds as routines, the S-box by sixteen table swizzles. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import { immediateByte, lanes, splat } from './common.ts';

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let x = a, y = b; y !== 0; y >>= 1) {
    if (y & 1) product ^= x;
    x = (x << 1) ^ (x & 0x80 ? 0x11b : 0);
  }
  return product;
}

function substitution(value: number): number {
  let inverse = 1;
  // The inverse is the 254th power; zero gives zero.
  for (let i = 0; i < 254; i++) inverse = multiply(inverse, value);
  let result = 0x63;
  for (let i = 0; i < 5; i++) result ^= (inverse << i) | (inverse >> (8 - i));
  return result & 0xff;
}

const SBOX: readonly number[] = Array.from({ length: 256 }, (_, i) => substitution(i));
const INVERSE_SBOX: readonly number[] = SBOX.reduce<number[]>((box, out, value) => {
  box[out] = value;
  return box;
}, []);

/** Every byte through a table of 256: each swizzle serves the bytes with one upper half and gives zero for the others. */
function substitute(b: Builder, x: Value, box: readonly number[]): Value {
  let result = b.v128(0n, 0n);
  for (let upper = 0; upper < 16; upper++) {
    const part = lanes(b, 8, box.slice(16 * upper, 16 * upper + 16));
    const index = b.op('v128.xor', x, splat(b, 8, 16 * upper));
    result = b.op('v128.or', result, b.op('i8x16.swizzle', part, index));
  }
  return result;
}

/** Row r of the state, whose columns are the 32-bit lanes, moves by r columns. */
function shiftRows(b: Builder, x: Value, direction: 1 | -1): Value {
  const order = Array.from({ length: 16 }, (_, i) => (i + 4 * (i & 3) * direction + 64) % 16);
  return b.shuffle(x, x, order);
}

/** Doubles every byte in GF(2^8). */
function double(b: Builder, x: Value): Value {
  const negative = b.op('i8x16.lt_s', x, b.v128(0n, 0n));
  const reduced = b.op('v128.and', negative, splat(b, 8, 0x1b));
  return b.op('v128.xor', b.op('i8x16.add', x, x), reduced);
}

/** The bytes of every column moved down by `count`. */
function rotateColumns(b: Builder, x: Value, count: number): Value {
  const order = Array.from({ length: 16 }, (_, i) => (i & 12) | ((i + count) & 3));
  return b.shuffle(x, x, order);
}

const xor = (b: Builder, ...values: Value[]): Value => values.reduce((x, y) => b.op('v128.xor', x, y));

/** Columns times {03}x^3 + {01}x^2 + {01}x + {02}. */
function mixColumns(b: Builder, x: Value): Value {
  const next = rotateColumns(b, x, 1);
  return xor(b, double(b, xor(b, x, next)), next, rotateColumns(b, x, 2), rotateColumns(b, x, 3));
}

/** The inverse is MixColumns after a product with {04}x^2 + {05}. */
function inverseMixColumns(b: Builder, x: Value): Value {
  const opposite = xor(b, x, rotateColumns(b, x, 2));
  return mixColumns(b, xor(b, x, double(b, double(b, opposite))));
}

type Round = (b: Builder, state: Value) => Value;

const encrypt: Round = (b, state) => substitute(b, shiftRows(b, state, 1), SBOX);
const decrypt: Round = (b, state) => substitute(b, shiftRows(b, state, -1), INVERSE_SBOX);

function round(name: string, transform: Round): Helper {
  return routine(name, ['v128', 'v128'], 'v128', (b, _cpu, state, key) => b.return(xor(b, transform(b, state), key)));
}

/** `aes_keygenassist (source, round constant)`. */
const assist = routine('aes_keygenassist', ['v128', 'i32'], 'v128', (b, _cpu, source, constant) => {
  const odd = substitute(b, b.shuffle(source, source, [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]), SBOX);
  const rotated = b.shuffle(odd, odd, [0, 1, 2, 3, 5, 6, 7, 4, 8, 9, 10, 11, 13, 14, 15, 12]);
  const places = lanes(b, 32, [0, -1, 0, -1]);
  b.return(xor(b, rotated, b.op('v128.and', b.op('i32x4.splat', constant), places)));
});

const ROUNDS: readonly (readonly [string, string, Round])[] = [
  ['aesenc', 'dc', (b, state) => mixColumns(b, encrypt(b, state))],
  ['aesenclast', 'dd', encrypt],
  ['aesdec', 'de', (b, state) => inverseMixColumns(b, decrypt(b, state))],
  ['aesdeclast', 'df', decrypt],
];

export const aesRoutines: readonly Helper[] = [...ROUNDS.map(([name, , transform]) => round(name, transform)), assist];

export const aes: readonly Definition[] = [
  ...ROUNDS.map(
    ([name, opcode]): Definition => ({
      name,
      encodings: [`66 0f 38 ${opcode} /r Vdq,Wdq`],
      unit: 'sse',
      feature: 'aes',
      semantics: (b, dst, src) => {
        const key = src.readVector();
        dst.writeVector(b.helper(name, dst.readVector(), key));
      },
    }),
  ),
  {
    name: 'aesimc',
    encodings: ['66 0f 38 db /r Vdq,Wdq'],
    unit: 'sse',
    feature: 'aes',
    semantics: (b, dst, src) => dst.writeVector(inverseMixColumns(b, src.readVector())),
  },
  {
    name: 'aeskeygenassist',
    encodings: ['66 0f 3a df /r Vdq,Wdq,Ib'],
    unit: 'sse',
    feature: 'aes',
    semantics: (b, dst, src, constant) =>
      dst.writeVector(b.helper('aes_keygenassist', src.readVector(), immediateByte(b, constant))),
  },
];
