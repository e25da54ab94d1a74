/** Base address registers: what they describe and where they point (PCI Local Bus 3.0, 6.2.5). */
import type { Region } from '../device.ts';
import { COMMAND, CONFIG, readBytes } from './config-space.ts';
import type { PciFunction } from './function.ts';

export interface PciBar {
  /** 0 to 5. A `memory64` BAR also takes the next index. */
  readonly index: number;
  readonly kind: 'io' | 'memory' | 'memory64';
  readonly prefetchable?: boolean;
  /** What the BAR maps. Its size is a power of two, at least 4 for I/O and 16 for memory. */
  readonly region: Region;
}

/**
 * Tells the board where a BAR's region answers from now on, or that it no longer does. The address is whatever the
 * guest wrote: it may overlap RAM or another region, which is the board's to arbitrate and must not throw.
 */
export type MapBar = (fn: PciFunction, bar: PciBar, address: number | undefined) => void;

/** Addresses from here up are refused: no processor we offer has more physical address bits. */
const MEMORY64_END = 2 ** 46;

/** The register's reset value: its read-only type bits. */
export function barType(bar: PciBar): number {
  if (bar.kind === 'io') return 1;
  return (bar.kind === 'memory64' ? 4 : 0) | (bar.prefetchable ? 8 : 0);
}

/**
 * Where `bar` answers, in bytes, from its function's configuration space; `undefined` while the command register keeps
 * it from decoding. 0 and addresses that reach the end of the space count as unset: a guest sizes BARs by writing ones,
 * and many do so with decoding on.
 */
export function barAddress(config: Uint8Array, bar: PciBar): number | undefined {
  const command = readBytes(config, CONFIG.command, 2);
  const at = CONFIG.bar0 + 4 * bar.index;
  const low = readBytes(config, at, 4);
  const size = bar.region.size;
  if (bar.kind === 'io') {
    const port = (low & ~3) >>> 0;
    return (command & COMMAND.io) === 0 || port === 0 || port + size > 0x1_0000 ? undefined : port;
  }
  const high = bar.kind === 'memory64' ? readBytes(config, at + 4, 4) : 0;
  const address = high * 2 ** 32 + ((low & ~15) >>> 0);
  if ((command & COMMAND.memory) === 0 || address === 0 || address + size === 2 ** 32) return undefined;
  return address + size > MEMORY64_END ? undefined : address;
}
