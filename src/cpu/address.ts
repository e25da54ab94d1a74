/** Canonical linear addresses. */

/** Whether bits 63–47 are all the same: 48-bit linear addresses. `address` is unsigned. */
export function isCanonical(address: bigint): boolean {
  const top = address >> 47n;
  return top === 0n || top === 0x1ffffn;
}
