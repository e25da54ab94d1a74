/** KVM's paravirtual clock: the time structures that a guest registers by MSR (Linux, virt/kvm/x86/msr.rst). */
import type { CpuContext } from './context.ts';
import { readTsc } from './tsc.ts';

const NS_PER_SECOND = 1_000_000_000n;
/** Bit 0 of MSR_KVM_SYSTEM_TIME: the structure is to be kept. */
const ENABLE = 1n;
/** Flag: readings on different vCPUs are comparable. */
const TSC_STABLE = 1n;

/**
 * `ns = ((ticks << shift) * multiplier) >> 32` for a TSC of `frequency` Hz; a negative shift goes right. The multiplier
 * lies between 2^31 and 2^32.
 */
export function tscScale(frequency: number): { multiplier: bigint; shift: number } {
  const hertz = BigInt(Math.round(frequency));
  let shift = 0;
  let numerator = NS_PER_SECOND;
  let denominator = hertz;
  while (numerator >= denominator) {
    denominator <<= 1n;
    shift++;
  }
  while (numerator * 2n < denominator) {
    numerator <<= 1n;
    shift--;
  }
  return { multiplier: (numerator << 32n) / denominator, shift };
}

/** Writes doublewords between an odd and an even version, so that a reader on another vCPU sees all or nothing. */
function writeVersioned(context: CpuContext, address: bigint, words: readonly bigint[]): void {
  const version = (context.readPhysical(address, 4) & 0xffff_fffen) + 1n;
  context.writePhysical(address, 4, version & 0xffff_ffffn);
  words.forEach((word, index) => {
    context.writePhysical(address + 4n + BigInt(index) * 4n, 4, word & 0xffff_ffffn);
  });
  context.writePhysical(address, 4, (version + 1n) & 0xffff_ffffn);
}

/** Brings the vCPU's time structure up to date: after registration, a change of the TSC, a restore. */
export function updateSystemTime(context: CpuContext): void {
  const { kvmSystemTime } = context.state;
  if ((kvmSystemTime & ENABLE) === 0n) return;
  const tsc = readTsc(context);
  const ns = context.clock.ticksToNs(BigInt.asUintN(64, tsc - context.state.tscOffset));
  const { multiplier, shift } = tscScale(context.clock.frequency);
  const last = BigInt(shift & 0xff) | (TSC_STABLE << 8n);
  writeVersioned(context, kvmSystemTime & ~ENABLE, [0n, tsc, tsc >> 32n, ns, ns >> 32n, multiplier, last]);
}

/** Writes the date at machine time 0 to guest-physical `address`. */
export function writeWallClock(context: CpuContext, address: bigint): void {
  const { epochNs } = context.clock;
  writeVersioned(context, address, [epochNs / NS_PER_SECOND, epochNs % NS_PER_SECOND]);
}
