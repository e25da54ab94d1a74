/** MASKMOVQ and MASKMOVDQU: stores of chosen bytes at DS:rDI. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import type { Definition } from '../definition.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';
import { checkPendingX87, mmxEnter } from '../x87/mmx-state.ts';
import { half, lowHalf } from './common.ts';

/** Stores the bytes of `value` whose mask byte is negative. Nothing is accessed where the mask chooses none. */
function maskedStore(b: InstructionBuilder, bytes: 8 | 16, value: Value, mask: Value): void {
  const chosen = b.op('i8x16.lt_s', mask, b.v128(0n, 0n));
  b.if(b.op('v128.any_true', chosen), () => {
    const linear = b.linear(b.dataSegment, b.gpr(GPR.rdi, b.addressSize), bytes, 'write');
    if (bytes === 8) {
      const place = b.modifyAt(linear, 8);
      const old = b.op('i64x2.splat', place.value);
      place.write(half(b, b.op('v128.bitselect', value, old, chosen), 0));
      return;
    }
    // A page that cannot be written must fault as such, not as one that cannot be read.
    b.translate(linear, 16, MEMORY_ACCESS.write);
    b.setScratchField('pendingKind', b.i32(0));
    b.storeVector(linear, b.op('v128.bitselect', value, b.loadVector(linear, 16), chosen));
  });
}

export const maskedStores: readonly Definition[] = [
  {
    name: 'maskmovq',
    encodings: ['np 0f f7 /r Pq,Nq'],
    unit: 'mmx',
    feature: 'sse',
    semantics: (b, data, mask) => {
      checkPendingX87(b);
      maskedStore(b, 8, lowHalf(b, data.read()), lowHalf(b, mask.read()));
      mmxEnter(b);
    },
  },
  {
    name: 'maskmovdqu',
    encodings: ['66 0f f7 /r Vdq,Udq'],
    unit: 'sse',
    feature: 'sse2',
    semantics: (b, data, mask) => maskedStore(b, 16, data.readVector(), mask.readVector()),
  },
];
