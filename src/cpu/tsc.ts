/** The time-stamp counter (SDM vol. 3B 17.17). */
import type { CpuContext } from './context.ts';

/** The TSC now. */
export function readTsc(context: CpuContext): bigint {
  return BigInt.asUintN(64, BigInt(context.clock.ticks()) + context.state.tscOffset);
}

/** Moves the TSC by `delta` ticks; IA32_TSC_ADJUST moves along. */
export function adjustTsc(context: CpuContext, delta: bigint): void {
  const { state } = context;
  state.tscOffset = BigInt.asUintN(64, state.tscOffset + delta);
  state.tscAdjust = BigInt.asUintN(64, state.tscAdjust + delta);
  context.apic.tscChanged();
}
