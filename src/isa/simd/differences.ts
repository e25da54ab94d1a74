/** MPSADBW and PTEST. */
import type { Value } from '../../ir/node.ts';
import type { Definition } from '../definition.ts';
import { type Helper, routine } from '../helpers.ts';
import type { Operand } from '../operand.ts';
import type { InstructionBuilder } from '../semantics.ts';
import { EFLAGS } from '../state.ts';
import { BYTE_INDEXES, immediateByte, lanes } from './common.ts';

/**
 * `mpsadbw (x, y, immediate)`: eight sums of absolute differences between four bytes of `y` (from byte 0, 4, 8 or 12 by
 * bits 1–0) and four of `x`, from byte 0 or 4 (bit 2) and the seven after it.
 */
const multipleDifferences = routine('mpsadbw', ['v128', 'v128', 'i32'], 'v128', (b, _cpu, x, y, immediate) => {
  const xFirst = b.and(immediate, b.i32(4));
  const yFirst = b.shl(b.and(immediate, b.i32(3)), b.i32(2));
  let sums = b.v128(0n, 0n);
  for (let i = 0; i < 4; i++) {
    const moved = b.op('i8x16.add', lanes(b, 8, BYTE_INDEXES), b.op('i8x16.splat', b.add(xFirst, b.i32(i))));
    const p = b.op('i8x16.swizzle', x, moved);
    const q = b.op('i8x16.swizzle', y, b.op('i8x16.splat', b.add(yFirst, b.i32(i))));
    const difference = b.op('v128.or', b.op('i8x16.sub_sat_u', p, q), b.op('i8x16.sub_sat_u', q, p));
    sums = b.op('i16x8.add', sums, b.op('i16x8.extend_low_i8x16_u', difference));
  }
  b.return(sums);
});

export const differenceRoutines: readonly Helper[] = [multipleDifferences];

/** ZF: no common bit; CF: `y` has no bit outside `x`. */
function test(b: InstructionBuilder, first: Operand, second: Operand): void {
  const y = second.readVector();
  const x = first.readVector();
  const none = (v: Value) => b.eqz(b.op('v128.any_true', v));
  const zero = b.select(none(b.op('v128.and', x, y)), b.i32(EFLAGS.zf), b.i32(0));
  b.setStatusFlags(b.or(zero, none(b.op('v128.andnot', y, x))));
}

export const differences: readonly Definition[] = [
  {
    name: 'mpsadbw',
    encodings: ['66 0f 3a 42 /r Vdq,Wdq,Ib'],
    unit: 'sse',
    feature: 'sse4.1',
    semantics: (b, dst, src, immediate) => {
      const y = src.readVector();
      dst.writeVector(b.helper('mpsadbw', dst.readVector(), y, immediateByte(b, immediate)));
    },
  },
  {
    name: 'ptest',
    encodings: ['66 0f 38 17 /r Vdq,Wdq'],
    unit: 'sse',
    feature: 'sse4.1',
    writes: 'oszapc',
    semantics: test,
  },
];
