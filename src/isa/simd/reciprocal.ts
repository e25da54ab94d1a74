/**
 * RCPPS, RCPSS, RSQRTPS, RSQRTSS: approximations within 1.5 * 2^-12 that raise no exception and do not heed MXCSR.
 * Denormals count as zero; results that would be denormal are zero (SDM vol. 2, RCPPS). These are more exact than a
 * processor's.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { splat } from './common.ts';

type Approximation = (b: Builder, x: Value) => Value;

const SIGN = 0x8000_0000;
const INFINITY = 0x7f80_0000;
const DEFAULT_NAN = 0xffc0_0000;
const QUIET = 0x0040_0000;

const and = (b: Builder, x: Value, y: Value) => b.op('v128.and', x, y);
const or = (b: Builder, x: Value, y: Value) => b.op('v128.or', x, y);

/** Lanes whose magnitude is below (`lt`), or at most (`le`), the smallest normal number. */
function tiny(b: Builder, v: Value, relation: 'lt' | 'le'): Value {
  return b.op(`f32x4.${relation}`, b.op('f32x4.abs', v), b.op('f32x4.splat', b.f32(2 ** -126)));
}

/** Puts in what does not come from the computation: infinity for zero, quiet NaNs. */
function finish(b: Builder, x: Value, result: Value): Value {
  const sign = and(b, x, splat(b, 32, SIGN));
  const infinite = b.op('v128.bitselect', or(b, sign, splat(b, 32, INFINITY)), result, tiny(b, x, 'lt'));
  const nan = b.op('f32x4.ne', x, x);
  return b.op('v128.bitselect', or(b, x, splat(b, 32, QUIET)), infinite, nan);
}

const reciprocal: Approximation = (b, x) => {
  const quotient = b.op('f32x4.div', b.op('f32x4.splat', b.f32(1)), x);
  const sign = and(b, x, splat(b, 32, SIGN));
  // Processors give zero for 2^126 already; the manual leaves that neighbourhood open.
  return finish(b, x, b.op('v128.bitselect', sign, quotient, tiny(b, quotient, 'le')));
};

const reciprocalRoot: Approximation = (b, x) => {
  const quotient = b.op('f32x4.div', b.op('f32x4.splat', b.f32(1)), b.op('f32x4.sqrt', x));
  const negative = b.op('i32x4.shr_s', x, b.i32(31));
  return finish(b, x, b.op('v128.bitselect', splat(b, 32, DEFAULT_NAN), quotient, negative));
};

function definitionsOf(name: string, opcode: string, approximate: Approximation): Definition[] {
  return [
    {
      name: `${name}ps`,
      encodings: [`np 0f ${opcode} /r Vdq,Wdq`],
      unit: 'sse',
      feature: 'sse',
      semantics: (b, dst, src) => dst.writeVector(approximate(b, src.readVector())),
    },
    {
      name: `${name}ss`,
      encodings: [`f3 0f ${opcode} /r Vd,Wd`],
      unit: 'sse',
      feature: 'sse',
      semantics: (b, dst, src) => {
        const result = approximate(b, b.op('i32x4.splat', b.wrap(src.read())));
        dst.write(b.extendU(b.lane('i32x4.extract_lane', 0, result)));
      },
    },
  ];
}

export const reciprocals: readonly Definition[] = [
  ...definitionsOf('rsqrt', '52', reciprocalRoot),
  ...definitionsOf('rcp', '53', reciprocal),
];
