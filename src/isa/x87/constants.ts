/** Loads of constants, and FXAM. */
import { define } from '../definition.ts';
import type { Helper } from '../helpers.ts';
import { begin, recordPointers, simple, x87Definition } from './common.ts';
import { x87Routine } from './routines.ts';
import { STATUS } from './unit.ts';

/**
 * Constants, cut off at 64 bits, and how far the rounding modes 0–3 raise them (SDM vol. 2, FLD1).
 */
const CONSTANTS: readonly (readonly [
  name: string,
  modRm: string,
  significand: bigint,
  exponent: number,
  up: string,
])[] = [
  ['fld1', 'e8', 0x8000_0000_0000_0000n, 0x3fff, '0000'],
  ['fldl2t', 'e9', 0xd49a_784b_cd1b_8afen, 0x4000, '0010'],
  ['fldl2e', 'ea', 0xb8aa_3b29_5c17_f0bbn, 0x3fff, '1010'],
  ['fldpi', 'eb', 0xc90f_daa2_2168_c234n, 0x4000, '1010'],
  ['fldlg2', 'ec', 0x9a20_9a84_fbcf_f798n, 0x3ffd, '1010'],
  ['fldln2', 'ed', 0xb172_17f7_d1cf_79abn, 0x3ffe, '1010'],
  ['fldz', 'ee', 0n, 0, '0000'],
];

const loads = CONSTANTS.map(([name, modRm, significand, exponent, up]) =>
  x87Definition(name, `d9 ${modRm}`, (b) => {
    begin(b);
    recordPointers(b);
    const modes = [...up].reduce((mask, bit, mode) => mask | (Number(bit) << mode), 0);
    const mode = b.and(b.shrU(b.field('fcw'), b.i32(10)), b.i32(3));
    const raise = modes === 0 ? b.i64(0) : b.extendU(b.and(b.shrU(b.i32(modes), mode), b.i32(1)));
    b.perform('x87_push', b.add(b.i64(significand), raise), b.i32(exponent));
  }),
);

/** FXAM: C3, C2, C0 tell the class, C1 the sign, also of an empty register. */
const examine = x87Routine('x87_examine', [], undefined, (u) => {
  const { b } = u;
  const top = u.physical(0);
  const [significand, signExponent] = [u.significand(top), u.signExponent(top)];
  const exponent = b.and(signExponent, b.i32(0x7fff));
  const { c0, c1, c2, c3 } = STATUS;
  const integer = b.op('i64.lt_s', significand, b.i64(0));
  const fraction = b.op('i64.ne', b.shl(significand, b.i64(1)), b.i64(0));
  const ofMax = b.select(fraction, b.i32(c0), b.i32(c2 | c0));
  const ofOther = b.select(b.eq(exponent, b.i32(0x7fff)), ofMax, b.i32(c2));
  const ofZero = b.select(b.eqz(significand), b.i32(c3), b.i32(c3 | c2));
  const kind = b.select(exponent, b.select(integer, ofOther, b.i32(0)), ofZero);
  const sign = b.and(b.shrU(signExponent, b.i32(6)), b.i32(c1));
  const codes = b.or(sign, b.select(u.used(top), kind, b.i32(c3 | c0)));
  const old = b.and(u.field('fsw'), b.i32(~(STATUS.conditions | c1)));
  u.setField('fsw', b.or(old, codes));
});

export const constants = define([...loads, x87Definition('fxam', 'd9 e5', simple('x87_examine'))]);

export const constantHelpers: readonly Helper[] = [examine];
