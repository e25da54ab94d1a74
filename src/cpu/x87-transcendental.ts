/** stub */
import type { VcpuState } from '../isa/state.ts';
export function x87Function(
  _state: VcpuState,
  _operation: number,
  as: bigint,
  _ae: number,
  _bs: bigint,
  _be: number,
): bigint {
  return as;
}
