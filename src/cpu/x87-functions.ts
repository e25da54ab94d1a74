/** The engine's side of the helpers that x87 instructions call (`isa/x87/`). */
import type { CpuContext } from './context.ts';
import { x87Function } from './x87-transcendental.ts';

/** The functions by the names of `x87Helpers`. Each takes the state block first. */
export function x87Functions(context: CpuContext) {
  return {
    x87_function: (_cpu: number, operation: number, as: bigint, ae: number, bs: bigint, be: number): bigint =>
      x87Function(context.state, operation, as, ae, bs, be),
    /** FERR# asserts IRQ 13 on a PC; 1 where IGNNE# lets the instruction go on. */
    ferr: (): number => 1,
  };
}
