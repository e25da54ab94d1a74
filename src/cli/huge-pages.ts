/** Asks the host to back memory with large pages. */
import koffi from 'koffi';

/** `madvise` of Linux: `MADV_HUGEPAGE`. */
const HUGE_PAGES = 14;

/**
 * A machine's memory is reached all over: its guest's RAM, tables that are hashed by address, records of decoded code. With
 * pages of 4 KiB what looks an address up in the host's own TLB misses most of the time. Only a hint: a host that
 * cannot follow it, or has no such call, goes on with small pages.
 */
export function preferHugePages({ buffer }: WebAssembly.Memory): void {
  if (process.platform !== 'linux') return;
  try {
    const madvise = koffi.load(null).func('int madvise(void *address, size_t length, int advice)');
    madvise(new Uint8Array(buffer), buffer.byteLength, HUGE_PAGES);
  } catch {
    // No koffi for this host.
  }
}
