/** MASKMOVQ and MASKMOVDQU: stores of chosen bytes at DS:rDI. */
import type { Value } from '../../ir/node.ts';
import { MEMORY_ACCESS } from '../access.ts';
import type { Definition } from '../definition.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { GPR } from '../state.ts';
import { checkPendingX87 } from '../x87/mmx-state.ts';
import { earlyTransition, half, lowHalf } from './common.ts';

/** Stores 8 bytes of a half where the mask says so. */
interface Part {
  readonly linear: Value;
  readonly value: Value;
  readonly chosen: Value;
}

/** Linear address of the 8 bytes `offset` bytes behind DS:rDI. */
function destination(b: InstructionBuilder, offset: number): Value {
  const pointer = b.zeroExtend(b.add(b.gpr(GPR.rdi, b.addressSize), b.i64(offset)), b.addressSize);
  return b.linear(b.dataSegment, pointer, 8, 'write');
}

/**
 * Stores the bytes of `value` whose mask byte is negative, in halves of 8 bytes. A place that cannot be written faults
 * even where the mask chooses nothing of it, which the manuals leave to the processor.
 */
function maskedStore(b: InstructionBuilder, halves: readonly (0 | 1)[], value: Value, mask: Value): void {
  const chosen = b.op('i8x16.lt_s', mask, b.v128(0n, 0n));
  const parts = halves.map((index): Part => {
    const linear = destination(b, 8 * index);
    return { linear, value: half(b, value, index), chosen: half(b, chosen, index) };
  });
  // All that may fault comes before the first byte is stored.
  for (const { linear } of parts) b.translate(linear, 8, MEMORY_ACCESS.write);
  b.setScratchField('pendingKind', b.i32(0));
  for (const part of parts) {
    const place = b.modifyAt(part.linear, 8);
    place.write(b.xor(place.value, b.and(b.xor(place.value, part.value), part.chosen)));
  }
}

export const maskedStores: readonly Definition[] = [
  {
    name: 'maskmovq',
    encodings: ['np 0f f7 /r Pq,Nq'],
    unit: 'mmx',
    feature: 'sse',
    semantics: (b, data, mask) => {
      checkPendingX87(b);
      earlyTransition(b);
      maskedStore(b, [0], lowHalf(b, data.read()), lowHalf(b, mask.read()));
    },
  },
  {
    name: 'maskmovdqu',
    encodings: ['66 0f f7 /r Vdq,Udq'],
    unit: 'sse',
    feature: 'sse2',
    semantics: (b, data, mask) => maskedStore(b, [0, 1], data.readVector(), mask.readVector()),
  },
];
