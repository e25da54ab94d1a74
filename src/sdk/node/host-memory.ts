/** What the host is told about a machine's memory. Only hints: a host that has no such call goes on without. */
import koffi from 'koffi';

/** `madvise(2)` of Linux: `MADV_DONTNEED`, `MADV_HUGEPAGE` and `MADV_NOHUGEPAGE`. */
const ADVICE = { unused: 4, hugePages: 14, smallPages: 15 } as const;

type Advise = (address: Uint8Array, length: number, advice: number) => number;

let advise: Advise | undefined;

function madvise(): Advise {
  if (advise === undefined) {
    advise = () => -1;
    try {
      if (process.platform === 'linux') {
        advise = koffi.load(null).func('int madvise(void *address, size_t length, int advice)') as Advise;
      }
    } catch {
      // No koffi for this host.
    }
  }
  return advise;
}

/**
 * A machine's memory is reached all over: its guest's RAM, tables that are hashed by address, records of decoded code. With
 * pages of 4 KiB what looks an address up in the host's own TLB misses most of the time.
 */
export function preferHugePages({ buffer }: Pick<WebAssembly.Memory, 'buffer'>): void {
  madvise()(new Uint8Array(buffer), buffer.byteLength, ADVICE.hugePages);
}

/** Where little of a range is touched, a large page would mostly be memory for nothing. */
export function preferSmallPages(
  { buffer }: Pick<WebAssembly.Memory, 'buffer'>,
  address: number,
  length: number,
): void {
  madvise()(new Uint8Array(buffer, address, length), length, ADVICE.smallPages);
}

/** Whole pages of a memory that nobody reads go back to the host. What is there reads as zeros from then on. */
export function giveBack({ buffer }: Pick<WebAssembly.Memory, 'buffer'>, address: number, length: number): void {
  madvise()(new Uint8Array(buffer, address, length), length, ADVICE.unused);
}
