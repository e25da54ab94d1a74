/** DPPS and DPPD. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import { VCPU } from '../state.ts';
import { immediateByte } from './common.ts';
import { bitsConstant, buildLanes, ELEMENTS, type Element, exactly, lane, MXCSR, mxcsr } from './float-element.ts';

/**
 * Ends a step: flags what it found or, where an unmasked exception is among that, returns. The later steps then do not
 * happen (SDM vol. 2, DPPS).
 */
function endStep(b: Builder, cpu: Value): void {
  const found = b.loadHost('i32.load', cpu, VCPU.offsets.fpExceptions);
  const control = mxcsr(b, cpu);
  const masks = b.shrU(control, b.i32(MXCSR.masks));
  b.if(b.and(b.and(found, b.not(masks)), b.i32(0x3f)), () => b.return(b.v128(0n, 0n)));
  b.storeHost('i32.store', cpu, b.or(control, b.and(found, b.i32(0x3f))), VCPU.offsets.mxcsr);
  b.storeHost('i32.store', cpu, b.i32(0), VCPU.offsets.fpExceptions);
}

/**
 * `sse_f32x4_dot (a, b, immediate)`: bits 7–4 of the immediate choose the lanes that are multiplied, bits 3–0 those that
 * get the sum; the others are zero. Sums are taken in pairs.
 */
function dotRoutine(e: Element): Helper {
  return routine(`sse_${e.shape}_dot`, ['v128', 'v128', 'i32'], 'v128', (b, cpu, x, y, immediate) => {
    const zero = bitsConstant(b, e, 0n);
    const chosen = (bit: number) => b.and(immediate, b.i32(1 << bit));
    const products = Array.from({ length: e.count }, (_, i) => {
      const product = b.variable(e.int, zero);
      b.if(chosen(4 + i), () => b.set(product, b.call(`sse_${e.name}_mul`, cpu, lane(b, e, x, i), lane(b, e, y, i))));
      return product;
    });
    endStep(b, cpu);
    let terms = products.map((p) => b.get(p));
    while (terms.length > 1) {
      const sums: Value[] = [];
      for (let i = 0; i < terms.length; i += 2)
        sums.push(b.call(`sse_${e.name}_add`, cpu, terms[i] as Value, terms[i + 1] as Value));
      endStep(b, cpu);
      terms = sums;
    }
    const total = terms[0] as Value;
    b.return(buildLanes(b, e, e.count, (i) => b.select(chosen(i), total, zero)));
  });
}

export const dotProductRoutines: readonly Helper[] = ELEMENTS.map(dotRoutine);

export const dotProduct: readonly Definition[] = ELEMENTS.map((e) => ({
  name: `dp${e.packedName}`,
  encodings: [`66 0f 3a 4${e.name === 'f64' ? 1 : 0} /r Vdq,Wdq,Ib`],
  unit: 'sse',
  feature: 'sse4.1',
  semantics: (b, dst, src, immediate) => {
    const y = src.readVector();
    dst.writeVector(exactly(b, `sse_${e.shape}_dot`, dst.readVector(), y, immediateByte(b, immediate)));
  },
}));
