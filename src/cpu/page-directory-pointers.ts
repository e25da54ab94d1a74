/** The four page-directory pointers of PAE paging, which a write to CR3 loads (SDM vol. 3A 4.4.1). */
import { VECTOR } from '../isa/state.ts';
import { type CpuContext, raise } from './context.ts';
import { PHYSICAL_ADDRESS_BITS } from './physical-address.ts';

/** Bits 2–1, 8–5 and those above the physical address; checked only where P is set. */
const RESERVED = 0x1e6n | (((1n << BigInt(64 - PHYSICAL_ADDRESS_BITS)) - 1n) << BigInt(PHYSICAL_ADDRESS_BITS));

/** Loads the pointers that `cr3` leads to; raises #GP(0) where one has a reserved bit, and then loads none. */
export function loadPageDirectoryPointers(context: CpuContext, cr3: bigint): boolean {
  const table = cr3 & 0xffff_ffe0n;
  const entries = [0n, 1n, 2n, 3n].map((index) => context.readPhysical(table + index * 8n, 8));
  if (entries.some((entry) => (entry & 1n) !== 0n && (entry & RESERVED) !== 0n)) {
    return raise(context.state, VECTOR.gp, 0);
  }
  entries.forEach((entry, index) => {
    context.state.pdpte[index] = entry;
  });
  return true;
}
