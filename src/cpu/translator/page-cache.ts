/**
 * The last page of each base register, in locals: accesses off one register mostly stay in one page, and comparing with a
 * local is cheaper than a look-up in the TLB. Reads and writes apart, because rights to them are.
 */
import type { Builder } from '../../ir/builder.ts';
import type { Value, Variable } from '../../ir/node.ts';
import { TLB_INVALID_PAGE } from '../../memory/tlb.ts';

export interface PageCache {
  /** Linear address of the page, or `TLB_INVALID_PAGE`. */
  readonly page: Variable;
  /** What to add to the low half of a linear address to get its host address. */
  readonly addend: Variable;
}

export class PageCaches {
  readonly #b: Builder;
  readonly #caches = new Map<number, PageCache>();

  constructor(b: Builder) {
    this.#b = b;
  }

  /** The cache of a base, which is any small number. */
  of(base: number, write: boolean): PageCache {
    const key = base * 2 + (write ? 1 : 0);
    let cache = this.#caches.get(key);
    if (cache === undefined) {
      cache = { page: this.#b.variable('i64'), addend: this.#b.variable('i32') };
      this.#caches.set(key, cache);
    }
    return cache;
  }

  /**
   * Whether an access is all in the cached page (i32). One of up to 8 bytes must be aligned for that, so that one mask tells
   * both; vectors often are not.
   */
  fits({ page }: PageCache, linear: Value, bytes: number): Value {
    const b = this.#b;
    const aligned = bytes <= 8 && (bytes & (bytes - 1)) === 0;
    const inPage = b.eq(b.and(linear, b.i64(aligned ? -4096 | (bytes - 1) : -4096)), b.get(page));
    if (aligned) return inPage;
    return b.and(inPage, b.leU(b.and(b.wrap(linear), b.i32(4095)), b.i32(4096 - bytes)));
  }

  /** Empties all caches but those that `fill` fills. */
  clear(fill: (base: number, write: boolean, cache: PageCache) => boolean): void {
    for (const [key, cache] of this.#caches) {
      if (!fill(key >> 1, (key & 1) !== 0, cache)) this.#b.set(cache.page, this.#b.i64(TLB_INVALID_PAGE));
    }
  }
}
