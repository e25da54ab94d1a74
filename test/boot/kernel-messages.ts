/** What a kernel must not say. */

/** Costly ways around speculation flaws, as /sys/devices/system/cpu/vulnerabilities calls them. */
export const COSTLY =
  /PTI|page table isolation|retpoline|return thunk|clear (cpu|register|all cpu) buffers|sw loop|mitigation: ibrs/i;

/** Something is wrong with the kernel itself or with its machine. */
export const COMPLAINTS =
  /WARNING|BUG[:\s]|Call Trace|Oops|general protection|Kernel panic|Firmware Bug|soft lockup|rcu.*stall|unstable|segfault/i;
