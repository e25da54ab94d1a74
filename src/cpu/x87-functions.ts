/** The engine's side of the helpers that x87 instructions call (`isa/x87/`). */
import type { CpuContext } from './context.ts';
import { x87Function } from './x87-transcendental.ts';

/** The functions by the names of `x87Helpers`. Each takes the state block first. */
export function x87Functions(context: CpuContext) {
  return {
    x87_function: (_cpu: number, operation: number, as: bigint, ae: number, bs: bigint, be: number): bigint =>
      x87Function(context.state, operation, as, ae, bs, be),
    /** FERR# is wired to nothing: with CR0.NE clear an unmasked exception stays pending. */
    ferr: (): number => 0,
  };
}
