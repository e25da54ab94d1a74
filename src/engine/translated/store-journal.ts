/** The engine's side of the log of stores: what a region stored is taken back, and compared with what the interpreter stores. */
import { LOG, LOG_ENTRY, LOG_KIND, LOG_LIMIT } from '../../cpu/interpreter/store-log.ts';
import { TLB_INVALID } from '../../memory/tlb.ts';

/** Accessed and dirty bits of an entry of a page table. */
const MARKS = 0x60;

export interface StoreJournal {
  /** Runs a region with its stores logged. */
  region(run: () => number): number;
  /** Takes back what the region stored. `revoked`: grants of the TLB from before may hold no more. */
  takeBack(revoked: boolean): void;
  /** Runs the interpreter with its stores logged. */
  interpreter(run: () => void): void;
  /** Takes back what the interpreter stored. */
  takeBackInterpreter(): void;
  /** Runs something meanwhile that is no part of what is compared. */
  unlogged<T>(run: () => T): T;
  /**
   * What differs, in words: what the region left, then what the interpreter did. `unfinished`: the region looked at an
   * instruction that is yet to run, so that there may be accessed and dirty bits that the interpreter has not set yet.
   */
  differences(unfinished: boolean): string[];
}

/** `pageAt`: guest-physical page of the frame at a host address, for messages. */
export function createStoreJournal(
  buffer: ArrayBufferLike,
  log: number,
  pageAt: (host: number) => number,
): StoreJournal {
  const bytes = new Uint8Array(buffer);
  const words = new Uint32Array(buffer, 0, 2 ** 30);
  const first = log + LOG.entries;
  const middle = first + LOG_LIMIT * LOG_ENTRY.bytes;
  const last = middle + (LOG_LIMIT + 1) * LOG_ENTRY.bytes;
  /** What stood in memory after the region, 16 bytes for each of its stores. */
  const left = new Uint8Array(LOG_LIMIT * 16);
  let regionEnd = first;
  let interpreterEnd = middle;

  function logged(flag: number, from: number, end: number, run: () => void): number {
    words[(log + LOG.next) >> 2] = from;
    words[(log + LOG.end) >> 2] = end;
    words[(log + flag) >> 2] = 1;
    try {
      run();
    } finally {
      words[(log + flag) >> 2] = 0;
    }
    return words[(log + LOG.next) >> 2];
  }
  const hostOf = (entry: number) => words[(entry + LOG_ENTRY.host) >> 2];
  const sizeOf = (entry: number) => words[(entry + LOG_ENTRY.size) >> 2] & 0xff;
  const is = (entry: number, kind: keyof typeof LOG_KIND) =>
    (words[(entry + LOG_ENTRY.size) >> 2] & LOG_KIND[kind]) !== 0;

  /** Puts back what stood where entries say, the last first. `revoked`: grants of the TLB may hold no more. */
  function putBack(from: number, end: number, revoked: boolean): void {
    for (let entry = end - LOG_ENTRY.bytes; entry >= from; entry -= LOG_ENTRY.bytes) {
      const host = hostOf(entry);
      const forgets = revoked && is(entry, 'tlb');
      for (let i = 0; i < sizeOf(entry); i++)
        bytes[host + i] = forgets ? TLB_INVALID : bytes[entry + LOG_ENTRY.before + i];
    }
  }

  /** Whether both made the same stores in the same order, and memory is now as the region left it. */
  function alike(): boolean {
    let other = middle;
    for (let entry = first; entry < regionEnd; entry += LOG_ENTRY.bytes) {
      if (is(entry, 'tlb')) continue;
      const host = hostOf(entry);
      const size = sizeOf(entry);
      if (other >= interpreterEnd || host !== hostOf(other) || size !== sizeOf(other)) return false;
      other += LOG_ENTRY.bytes;
      const place = (entry - first) >> 1;
      for (let i = 0; i < size; i++) if (bytes[host + i] !== left[place + i]) return false;
    }
    return other === interpreterEnd;
  }

  /** Every byte that differs, as the region left it. */
  function differing(unfinished: boolean): Map<number, number> {
    const marked = new Set<number>();
    const byRegion = new Map<number, number>();
    for (let entry = first; entry < regionEnd; entry += LOG_ENTRY.bytes) {
      if (is(entry, 'tlb')) continue;
      if (unfinished && is(entry, 'marks')) marked.add(hostOf(entry));
      for (let i = 0; i < sizeOf(entry); i++) byRegion.set(hostOf(entry) + i, left[((entry - first) >> 1) + i]);
    }
    for (let entry = middle; entry < interpreterEnd; entry += LOG_ENTRY.bytes) {
      for (let i = 0; i < sizeOf(entry); i++) {
        const host = hostOf(entry) + i;
        if (!byRegion.has(host)) byRegion.set(host, bytes[entry + LOG_ENTRY.before + i]);
      }
    }
    const counting = (host: number) => (marked.has(host) ? ~MARKS : -1);
    return new Map([...byRegion].filter(([host, value]) => ((bytes[host] ^ value) & counting(host)) !== 0));
  }

  return {
    region(run) {
      let exit = 0;
      regionEnd = logged(LOG.regionRuns, first, middle, () => {
        exit = run();
      });
      return exit;
    },
    takeBack(revoked) {
      for (let entry = first; entry < regionEnd; entry += LOG_ENTRY.bytes) {
        const host = hostOf(entry);
        const place = (entry - first) >> 1;
        for (let i = 0; i < sizeOf(entry); i++) left[place + i] = bytes[host + i];
      }
      putBack(first, regionEnd, revoked);
    },
    interpreter(run) {
      interpreterEnd = logged(LOG.interpreterLogs, middle, last, run);
    },
    takeBackInterpreter: () => putBack(middle, interpreterEnd, false),
    unlogged(run) {
      const flag = (log + LOG.interpreterLogs) >> 2;
      words[flag] = 0;
      const result = run();
      words[flag] = 1;
      return result;
    },
    differences(unfinished) {
      // Stores may be cut or ordered otherwise: then their bytes tell.
      if (alike()) return [];
      if (interpreterEnd === last) return ['the interpreter stored more than the region could log'];
      return [...differing(unfinished)].map(([host, value]) => {
        const address = pageAt(host & ~4095) * 4096 + (host & 4095);
        return `memory at physical ${address.toString(16)} = ${value.toString(16)}, not ${bytes[host].toString(16)}`;
      });
    },
  };
}
