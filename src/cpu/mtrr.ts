/** Memory type range registers and the PAT (SDM vol. 3A 11.11, 11.12). They have no effect; guests check and copy them. */
import { PHYSICAL_ADDRESS_BITS } from './physical-address.ts';

/** Eight variable ranges, fixed ranges, write-combining. */
export const MTRR_CAP = 0x508n;

/** MSR numbers of the fixed ranges in address order. */
export const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f] as const;

const ADDRESS = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 0x1000n;
const MASK_VALID = 1n << 11n;
const ENABLE = 1n << 11n;
const FIXED_ENABLE = 1n << 10n;

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
