/** PCLMULQDQ. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { constantOf, fromHalves, half } from './common.ts';

/** Every fourth bit. */
const COMB = 0x1111_1111_1111_1111n;

/**
 * `carryless_low (x, y)`: the low 64 bits of the carry-less product.
 *
 * Integer products of numbers with only every fourth bit set are sums of at most 16 bits at each place; their carries
 * stay below the next place that counts, but for those at the top, which leave the word.
 */
const low = routine('carryless_low', ['i64', 'i64'], 'i64', (b, _cpu, x, y) => {
  const comb = (v: Value, i: number) => b.and(v, b.i64(COMB << BigInt(i)));
  const xs = [0, 1, 2, 3].map((i) => comb(x, i));
  const ys = [0, 1, 2, 3].map((i) => comb(y, i));
  const parts = [0, 1, 2, 3].map((place) => {
    const products = xs.map((part, i) => b.mul(part, ys[(place - i) & 3] as Value));
    return comb(
      products.reduce((p, q) => b.xor(p, q)),
      place,
    );
  });
  b.return(parts.reduce((p, q) => b.or(p, q)));
});

/** The bits of an i64 in reverse. */
function reverse(b: Builder, value: Value): Value {
  const masks = [0x5555_5555_5555_5555n, 0x3333_3333_3333_3333n, 0x0f0f_0f0f_0f0f_0f0fn];
  const swapped = masks.reduce((v, mask, i) => {
    const distance = b.i64(1 << i);
    const upper = b.shl(b.and(v, b.i64(mask)), distance);
    return b.or(upper, b.and(b.shrU(v, distance), b.i64(mask)));
  }, value);
  const bytes = b.op('i64x2.splat', swapped);
  return half(b, b.shuffle(bytes, bytes, [7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 0);
}

/** `carryless (x, y)`: the 127-bit product. Its upper part is the low part of the reversed factors' product, reversed. */
const product = routine('carryless', ['i64', 'i64'], 'v128', (b, cpu, x, y) => {
  const mirrored = b.call('carryless_low', cpu, reverse(b, x), reverse(b, y));
  b.return(fromHalves(b, b.call('carryless_low', cpu, x, y), b.shrU(reverse(b, mirrored), b.i64(1))));
});

export const carrylessRoutines: readonly Helper[] = [low, product];

/** The half that bit `bit` of the immediate chooses. */
function chosenHalf(b: InstructionBuilder, v: Value, immediate: Value, bit: number): Value {
  const known = constantOf(immediate);
  if (known !== undefined) return half(b, v, known & bit ? 1 : 0);
  return b.select(b.wrap(b.and(immediate, b.i64(bit))), half(b, v, 1), half(b, v, 0));
}

export const carryless: readonly Definition[] = [
  {
    name: 'pclmulqdq',
    encodings: ['66 0f 3a 44 /r Vdq,Wdq,Ib'],
    unit: 'sse',
    feature: 'pclmulqdq',
    semantics: (b, dst, src, immediate) => {
      const y = src.readVector();
      const control = immediate.read();
      const x = chosenHalf(b, dst.readVector(), control, 1);
      dst.writeVector(b.helper('carryless', x, chosenHalf(b, y, control, 16)));
    },
  },
];
