/** Memory type range registers and the PAT (SDM vol. 3A 11.11, 11.12). They have no effect; guests check and copy them. */
import type { VcpuState } from '../isa/state.ts';
import { PHYSICAL_ADDRESS_BITS } from './physical-address.ts';

/** Eight variable ranges, fixed ranges, write-combining. */
export const MTRR_CAP = 0x508n;

/** MSR numbers of the fixed ranges in address order. */
export const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f] as const;

const ADDRESS = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 0x1000n;
const MASK_VALID = 1n << 11n;
const ENABLE = 1n << 11n;
const FIXED_ENABLE = 1n << 10n;
const WRITE_BACK = 6n;
const WRITE_PROTECTED = 5n;
const UNCACHED = 0n;

/** UC, WC, WT, WP, WB. */
const isMemoryType = (type: bigint): boolean => type === 0n || type === 1n || (type >= 4n && type <= 6n);
/** A PAT entry may also be UC-. */
const isPageType = (type: bigint): boolean => isMemoryType(type) || type === 7n;

function everyByte(value: bigint, valid: (byte: bigint) => boolean): boolean {
  for (let shift = 0n; shift < 64n; shift += 8n) if (!valid((value >> shift) & 0xffn)) return false;
  return true;
}

export const validFixed = (value: bigint): boolean => everyByte(value, isMemoryType);
export const validPat = (value: bigint): boolean => everyByte(value, isPageType);

/** IA32_MTRR_PHYSBASEn for an even `index`, IA32_MTRR_PHYSMASKn for an odd one. */
export function validVariable(index: number, value: bigint): boolean {
  if ((index & 1) !== 0) return (value & ~(ADDRESS | MASK_VALID)) === 0n;
  return (value & ~(ADDRESS | 0xffn)) === 0n && isMemoryType(value & 0xffn);
}

export function validDefault(value: bigint): boolean {
  return (value & ~(ENABLE | FIXED_ENABLE | 0xffn)) === 0n && isMemoryType(value & 0xffn);
}

/** UC-, WT, WB and UC twice: the PAT after reset. */
export const PAT_RESET = 0x0007_0406_0007_0406n;

/** The type in every byte. */
const spread = (type: bigint): bigint => type * 0x0101_0101_0101_0101n;

/**
 * The ranges as firmware leaves them: RAM write-back, the video window uncached, option ROMs and BIOS write-protected,
 * and everything from `deviceBase` (a power of two below 4 GiB, or a multiple of one that reaches it) to 4 GiB uncached.
 */
export function firmwareMtrrs(state: VcpuState, deviceBase: number): void {
  FIXED_MTRRS.forEach((_, index) => {
    const type = index < 2 ? WRITE_BACK : index === 2 ? UNCACHED : WRITE_PROTECTED;
    state.mtrrFixed[index] = spread(type);
  });
  state.mtrrVariable.fill(0n);
  state.mtrrVariable[0] = BigInt(deviceBase) | UNCACHED;
  state.mtrrVariable[1] = (ADDRESS & ~(0x1_0000_0000n - BigInt(deviceBase) - 1n)) | MASK_VALID;
  state.mtrrDefault = ENABLE | FIXED_ENABLE | WRITE_BACK;
}
