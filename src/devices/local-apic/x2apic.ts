/** The MSR face of the registers in x2APIC mode. SDM vol. 3A 10.12.1. */
import { ICR_RESERVED } from './interrupt-command.ts';
import type { RegisterFile } from './register-file.ts';
import { type LocalApicState, LVT_READ_ONLY, LVT_WRITABLE, MSR_X2APIC, REGISTER, SVR_WRITABLE } from './registers.ts';

/** Bits that a write may set, by register; all others raise #GP, and so does a write of a register not listed. */
const WRITABLE: ReadonlyMap<number, number> = new Map([
  [REGISTER.tpr, 0xff],
  [REGISTER.eoi, 0],
  [REGISTER.svr, SVR_WRITABLE],
  [REGISTER.esr, 0],
  [REGISTER.initialCount, 0xffff_ffff],
  [REGISTER.divide, 0xb],
  [REGISTER.selfIpi, 0xff],
  ...LVT_WRITABLE.map((mask, index): [number, number] => [REGISTER.lvt + index * 16, mask | LVT_READ_ONLY]),
]);

/** Registers of the page that have no MSR, or one that cannot be read. */
const UNREADABLE: ReadonlySet<number> = new Set([
  REGISTER.apr,
  REGISTER.eoi,
  REGISTER.rrd,
  REGISTER.dfr,
  REGISTER.icrHigh,
  REGISTER.selfIpi,
]);

/** `undefined` raises #GP. */
export function readX2apic(file: RegisterFile, state: LocalApicState, index: number): bigint | undefined {
  const offset = (index - MSR_X2APIC) << 4;
  if (UNREADABLE.has(offset)) return undefined;
  const value = file.read(offset);
  if (value === undefined) return undefined;
  return offset === REGISTER.icrLow ? (BigInt(state.icrHigh) << 32n) | BigInt(value) : BigInt(value);
}

/** `false` raises #GP; then nothing was written. `value` is 64 bits, unsigned. */
export function writeX2apic(file: RegisterFile, state: LocalApicState, index: number, value: bigint): boolean {
  const offset = (index - MSR_X2APIC) << 4;
  const low = Number(value & 0xffff_ffffn);
  const high = Number(value >> 32n);
  if (offset === REGISTER.icrLow) {
    if ((low & ICR_RESERVED) !== 0) return false;
    state.icrHigh = high;
    file.sendCommand(low, high);
    return true;
  }
  const writable = WRITABLE.get(offset);
  if (writable === undefined || high !== 0 || (low & ~writable) !== 0) return false;
  if (offset === REGISTER.selfIpi) file.sendSelf(low);
  else file.write(offset, low);
  return true;
}
