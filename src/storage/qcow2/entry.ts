/** Entries of L1 and L2 tables: 64 bits, big-endian, as two words. */

/** Bits of the high word. */
const COPIED = 0x8000_0000;
const COMPRESSED = 0x4000_0000;
/** Bit of the low word; version 3 only. */
const ZERO = 1;

export type Mapping =
  /** Not in this image: what the backing file has, else zeros. */
  | { readonly kind: 'none' }
  | { readonly kind: 'zero'; readonly host: number }
  /** `owned`: nobody else refers to the cluster, so that it can be written in place. */
  | { readonly kind: 'data'; readonly host: number; readonly owned: boolean }
  /** `length` bytes from `host`, the last sector to its end; what is past the compressed stream is not its own. */
  | { readonly kind: 'compressed'; readonly host: number; readonly length: number };

const NONE: Mapping = { kind: 'none' };

/** The place that an entry names, without its flags. */
export function entryOffset(view: DataView, index: number): number {
  const low = view.getUint32(8 * index + 4);
  return (view.getUint32(8 * index) & 0x00ff_ffff) * 2 ** 32 + (low - (low & 0x1ff));
}

export function isOwned(view: DataView, index: number): boolean {
  return view.getUint32(8 * index) >= COPIED;
}

export function isEmpty(view: DataView, index: number): boolean {
  return view.getUint32(8 * index) === 0 && view.getUint32(8 * index + 4) === 0;
}

/** What an L2 entry says. */
export function readMapping(view: DataView, index: number, version: 2 | 3, clusterBits: number): Mapping {
  const high = view.getUint32(8 * index);
  const low = view.getUint32(8 * index + 4);
  if ((high & COMPRESSED) !== 0) {
    // The width of the place depends on the cluster size; sectors are counted in what is left.
    const placeBits = 62 - (clusterBits - 8);
    const entry = (BigInt(high & 0x3fff_ffff) << 32n) | BigInt(low);
    const host = Number(entry & ((1n << BigInt(placeBits)) - 1n));
    const sectors = Number(entry >> BigInt(placeBits)) + 1;
    return { kind: 'compressed', host, length: sectors * 512 - (host % 512) };
  }
  const host = entryOffset(view, index);
  if (version === 3 && (low & ZERO) !== 0) return { kind: 'zero', host };
  return host === 0 ? NONE : { kind: 'data', host, owned: high >= COPIED };
}

/** Writes an entry for a cluster or table that nobody else refers to. */
export function writeOwned(view: DataView, index: number, offset: number): void {
  view.setUint32(8 * index, Math.floor(offset / 2 ** 32) + COPIED);
  view.setUint32(8 * index + 4, offset % 2 ** 32);
}

/** Writes an entry without a place: zeros, or what the backing file has. */
export function writeUnmapped(view: DataView, index: number, zero: boolean): void {
  view.setUint32(8 * index, 0);
  view.setUint32(8 * index + 4, zero ? ZERO : 0);
}
