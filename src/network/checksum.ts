/** The Internet checksum (RFC 1071). */
import { type Address, addressBytes } from './address.ts';

/** Adds the 16-bit words of `[from, to)` to a sum that is not yet folded; an odd last byte counts as a high one. */
export function addBytes(sum: number, bytes: Uint8Array, from: number, to: number): number {
  let total = sum;
  let at = from;
  // Doubles are exact far beyond what a frame of 64 KiB can add up to.
  for (; at + 7 < to; at += 8) {
    total +=
      ((bytes[at]! << 8) | bytes[at + 1]!) +
      ((bytes[at + 2]! << 8) | bytes[at + 3]!) +
      ((bytes[at + 4]! << 8) | bytes[at + 5]!) +
      ((bytes[at + 6]! << 8) | bytes[at + 7]!);
  }
  for (; at + 1 < to; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  if (at < to) total += bytes[at]! << 8;
  return total;
}

/** A sum in 16 bits, with its carries added back in. */
export function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  return folded;
}

/** The checksum of `[from, to)`; 0 where the bytes hold a right one. `sum`: what to add, such as a pseudo header's. */
export function checksum(bytes: Uint8Array, from: number, to: number, sum = 0): number {
  return ~fold(addBytes(sum, bytes, from, to)) & 0xffff;
}

/** The sum of a pseudo header, of IPv4 (RFC 9293 3.1) or IPv6 (RFC 8200 8.1). */
export function pseudoHeaderSum(source: Address, destination: Address, protocol: number, length: number): number {
  const [from, to] = [addressBytes(source), addressBytes(destination)];
  return addBytes(addBytes(protocol + (length >>> 16) + (length & 0xffff), from, 0, from.length), to, 0, to.length);
}
