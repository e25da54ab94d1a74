/** Operands and instructions for the tests of floating point: everything that a fast path could get wrong, in all pairs. */

const SINGLES = new Float32Array(1);
const SINGLE_BITS = new Uint32Array(SINGLES.buffer);
const DOUBLES = new Float64Array(1);
const DOUBLE_BITS = new BigUint64Array(DOUBLES.buffer);

export function doubleBits(value: number): bigint {
  DOUBLES[0] = value;
  return DOUBLE_BITS[0];
}
export function singleBits(value: number): bigint {
  SINGLES[0] = value;
  return BigInt(SINGLE_BITS[0]);
}

/** Ordinary numbers, results of which are exact, rounded, halfway between two numbers, too large or too small. */
const NUMBERS = [1, -1, 3, 0.1, -2.5, 1 / 3, 2 ** 31, 2 ** 31 - 1, -(2 ** 31), 2 ** 62 + 2 ** 40, 6.5, 0.5];

export const DOUBLE_OPERANDS: readonly bigint[] = [
  ...NUMBERS.map(doubleBits),
  0n,
  1n << 63n,
  // Infinities; the largest, the smallest normal, the largest and smallest denormal numbers.
  0x7ff0_0000_0000_0000n,
  0xfff0_0000_0000_0000n,
  0x7fef_ffff_ffff_ffffn,
  0x0010_0000_0000_0000n,
  0x800f_ffff_ffff_ffffn,
  0x0000_0000_0000_0001n,
  // Quiet and signalling NaNs with payloads.
  0x7ff8_0000_0000_1234n,
  0xfff8_0000_0000_0abcn,
  0x7ff0_0000_0000_5678n,
  0xfff7_ffff_ffff_ffffn,
  // Products and quotients of these lie at the edges of the range.
  0x1ff0_0000_0000_0001n,
  0x2010_0000_0000_0003n,
  0x5fef_ffff_ffff_ffffn,
  doubleBits(1 + 2 ** -52),
];

export const SINGLE_OPERANDS: readonly bigint[] = [
  ...NUMBERS.map(singleBits),
  0n,
  0x8000_0000n,
  0x7f80_0000n,
  0xff80_0000n,
  0x7f7f_ffffn,
  0x0080_0000n,
  0x807f_ffffn,
  0x0000_0001n,
  0x7fc0_1234n,
  0xffc0_0abcn,
  0x7f80_5678n,
  0xffbf_ffffn,
  0x1f80_0001n,
  0x2080_0003n,
  0x5f7f_ffffn,
  singleBits(1 + 2 ** -23),
];

export type Kind = 'sd' | 'ss' | 'pd' | 'ps';
export interface FloatCase {
  readonly name: string;
  readonly kind: Kind;
  /** Works on XMM0 and XMM1; an integer result goes to RAX. */
  readonly code: string;
}

const BINARY = ['add', 'sub', 'mul', 'div', 'min', 'max', 'sqrt'];
const KINDS: readonly Kind[] = ['sd', 'ss', 'pd', 'ps'];
const same = (name: string, kind: Kind, code = `${name} xmm0, xmm1`): FloatCase => ({ name, kind, code });

export const FLOAT_CASES: readonly FloatCase[] = [
  ...BINARY.flatMap((op) => KINDS.map((kind) => same(op + kind, kind))),
  same('sqrtsd of itself', 'sd', 'sqrtsd xmm0, xmm0'),
  same('addsd to itself', 'sd', 'addsd xmm0, xmm0'),
  same('addsd from memory', 'sd', 'addsd xmm0, [rsi+16]'),
  same('mulss from memory', 'ss', 'mulss xmm0, [rsi+16]'),
  ...(['ucomisd', 'comisd'] as const).map((op) => same(op, 'sd', `${op} xmm0, xmm1; pushfq; pop rax`)),
  ...(['ucomiss', 'comiss'] as const).map((op) => same(op, 'ss', `${op} xmm0, xmm1; pushfq; pop rax`)),
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((p) => same(`cmpsd ${p}`, 'sd', `cmpsd xmm0, xmm1, ${p}`)),
  ...['cvtsd2ss', 'cvtpd2ps', 'cvtpd2dq', 'cvttpd2dq'].map((op) => same(op, op.includes('sd') ? 'sd' : 'pd')),
  ...['cvtss2sd', 'cvtps2pd', 'cvtps2dq', 'cvttps2dq', 'cvtdq2ps', 'cvtdq2pd'].map((op) =>
    same(op, op.includes('ss') ? 'ss' : 'ps'),
  ),
  ...['cvtsd2si', 'cvttsd2si'].flatMap((op) =>
    ['eax', 'rax'].map((to) => same(`${op} ${to}`, 'sd', `${op} ${to}, xmm1`)),
  ),
  ...['cvtss2si', 'cvttss2si'].flatMap((op) =>
    ['eax', 'rax'].map((to) => same(`${op} ${to}`, 'ss', `${op} ${to}, xmm1`)),
  ),
  ...['eax', 'rax'].map((from) => same(`cvtsi2sd ${from}`, 'sd', `mov rax, [rsi]; cvtsi2sd xmm0, ${from}`)),
  ...['eax', 'rax'].map((from) => same(`cvtsi2ss ${from}`, 'sd', `mov rax, [rsi]; cvtsi2ss xmm0, ${from}`)),
];

/** Bytes of an entry of the table of inputs, two vectors, and of results: a vector, RAX, MXCSR. */
export const INPUT_BYTES = 32;
export const OUTPUT_BYTES = 32;

/** Every pair of operands in the lowest element; the others hold the pairs that come before in the list. */
export function inputs(kind: Kind): { bytes: number[]; count: number } {
  const double = kind.endsWith('d');
  const operands = double ? DOUBLE_OPERANDS : SINGLE_OPERANDS;
  const count = operands.length ** 2;
  const size = double ? 8 : 4;
  const data = new DataView(new ArrayBuffer(count * INPUT_BYTES));
  for (let pair = 0; pair < count; pair++) {
    for (let lane = 0; lane < 16 / size; lane++) {
      const of = (pair + count - 5 * lane) % count;
      const values = [operands[Math.floor(of / operands.length)], operands[of % operands.length]];
      values.forEach((value, i) => {
        const at = pair * INPUT_BYTES + 16 * i + lane * size;
        if (double) data.setBigUint64(at, value, true);
        else data.setUint32(at, Number(value), true);
      });
    }
  }
  return { bytes: [...new Uint8Array(data.buffer)], count };
}
