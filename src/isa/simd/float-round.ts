/** ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import { immediateByte } from './common.ts';
import {
  buildLanes,
  ELEMENTS,
  type Element,
  exactly,
  inexactIsSilent,
  isOrdinary,
  lane,
  mxcsr,
  readElement,
  roundingControl,
  toBits,
  toFloat,
  writeElement,
} from './float-element.ts';

/** Bits of the immediate: rounding by MXCSR instead of bits 1–0; PE is left alone. */
const BY_MXCSR = 4;
const QUIET = 8;

/** Native roundings by rounding control. */
const NATIVE = ['nearest', 'floor', 'ceil', 'trunc'] as const;

function roundNative(b: Builder, e: Element, x: Value, mode: Value): Value {
  const result = b.variable(e.name);
  const branch = (from: number): void => {
    const set = () => b.set(result, b.op(`${e.name}.${NATIVE[from]}`, x));
    if (from === NATIVE.length - 1) set();
    else b.if(b.eq(mode, b.i32(from)), set, () => branch(from + 1));
  };
  branch(0);
  return b.get(result);
}

/** `sse_f32_round (a, immediate)`. */
function elementRound(e: Element): Helper {
  return routine(`sse_${e.name}_round`, [e.int, 'i32'], e.int, (b, cpu, a, immediate) => {
    const control = mxcsr(b, cpu);
    const byMxcsr = b.and(immediate, b.i32(BY_MXCSR));
    const mode = b.select(byMxcsr, roundingControl(b, control), b.and(immediate, b.i32(3)));
    const quiet = b.op('i32.ne', b.and(immediate, b.i32(QUIET)), b.i32(0));
    b.if(isOrdinary(b, e, a), () => {
      const x = toFloat(b, e, a);
      const rounded = roundNative(b, e, x, mode);
      const silent = b.or(quiet, inexactIsSilent(b, control));
      b.if(b.or(silent, b.op(`${e.name}.eq`, rounded, x)), () => b.return(toBits(b, e, rounded)));
    });
    b.return(b.call(`${e.name}_round`, cpu, a, mode, quiet, control));
  });
}

function packedRound(e: Element): Helper {
  return routine(`sse_${e.shape}_round`, ['v128', 'i32'], 'v128', (b, cpu, v, immediate) => {
    b.return(buildLanes(b, e, e.count, (i) => b.call(`sse_${e.name}_round`, cpu, lane(b, e, v, i), immediate)));
  });
}

export const floatRoundRoutines: readonly Helper[] = ELEMENTS.flatMap((e) => [elementRound(e), packedRound(e)]);

function definitionsOf(e: Element): Definition[] {
  const double = e.name === 'f64' ? 1 : 0;
  return [
    {
      name: `round${e.packedName}`,
      encodings: [`66 0f 3a 0${8 + double} /r Vdq,Wdq,Ib`],
      unit: 'sse',
      feature: 'sse4.1',
      semantics: (b, dst, src, immediate) =>
        dst.writeVector(exactly(b, `sse_${e.shape}_round`, src.readVector(), immediateByte(b, immediate))),
    },
    {
      name: `round${e.scalarName}`,
      encodings: [`66 0f 3a 0${(10 + double).toString(16)} /r V${e.size},W${e.size},Ib`],
      unit: 'sse',
      feature: 'sse4.1',
      semantics: (b, dst, src, immediate) =>
        writeElement(b, e, dst, exactly(b, `sse_${e.name}_round`, readElement(b, e, src), immediateByte(b, immediate))),
    },
  ];
}

export const floatRound: readonly Definition[] = ELEMENTS.flatMap(definitionsOf);
