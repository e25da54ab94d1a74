/** Where a region is left in its midst, told by one constant: there is such an exit behind every access to memory. */
import type { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/node.ts';
import type { EXIT } from '../interpreter/exits.ts';

/** What a region comes back with there. */
export type ColdExitCode = typeof EXIT.exception | typeof EXIT.dispatch;

/** Bits of a packed exit: the code, how many instructions of its block were done, and, signed, the offset. */
const EXIT_BITS = { code: 3, done: 10 } as const;

/** `offset`: of the instruction before which the region is left, up to 2^31 away; `done`: those of its block before that. */
export const packExit = (code: ColdExitCode, offset: number, done: number): number =>
  offset * 2 ** (EXIT_BITS.done + EXIT_BITS.code) + ((done << EXIT_BITS.code) | code);

/** Code and instructions done as i32, the offset as i64. */
export function unpackExit(b: Builder, exit: Value): { code: Value; done: Value; offset: Value } {
  const low = b.wrap(exit);
  return {
    code: b.and(low, b.i32((1 << EXIT_BITS.code) - 1)),
    done: b.and(b.shrU(low, b.i32(EXIT_BITS.code)), b.i32((1 << EXIT_BITS.done) - 1)),
    offset: b.shrS(exit, b.i64(EXIT_BITS.done + EXIT_BITS.code)),
  };
}
