/** What the tests of integer instructions share: sizes, values, encodings, reference arithmetic. */

export const bitsOf = (size: number): number => size * 8;

/** Values at the edges of every size, upper halves set and clear. */
export const VALUES: readonly bigint[] = [
  0n,
  1n,
  0x0fn,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_2345_6789n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_ffff_ffffn,
  0xfedc_ba98_7654_3210n,
];

export function parityEven(value: bigint): boolean {
  let ones = 0;
  for (let byte = value & 0xffn; byte !== 0n; byte >>= 1n) ones += Number(byte & 1n);
  return ones % 2 === 0;
}

/** An instruction at an operand size: `opcode` is that of the byte form, the next one that of the others. */
export function sized(size: number, opcode: number | string, rest: string): string {
  const byte = typeof opcode === 'string' ? Number.parseInt(opcode, 16) : opcode;
  const full = typeof opcode === 'string' || size === 1 ? byte : byte + 1;
  const prefix = { 1: '', 2: '66 ', 4: '', 8: '48 ' }[size];
  return `${prefix}${full.toString(16).padStart(2, '0')} ${rest}`;
}

/** SF, ZF and PF of a result, in that order of letters among the six. */
export function flagsOf(size: number, result: bigint, o: boolean, c: boolean, a = false): string {
  const negative = (result >> BigInt(bitsOf(size) - 1)) & 1n;
  return [
    o ? 'o' : '',
    negative === 1n ? 's' : '',
    result === 0n ? 'z' : '',
    a ? 'a' : '',
    parityEven(result) ? 'p' : '',
    c ? 'c' : '',
  ].join('');
}

/** Without the flags in `letters`. */
export const without = (flags: string, letters: string): string =>
  [...flags].filter((flag) => !letters.includes(flag)).join('');
