/** Small accesses to rings in guest memory, and the fence between the two sides of a ring. */
import type { GuestMemory, Span } from '../../memory/guest-memory.ts';

/** Addresses come from the guest: above 2^53 they are not exact, and no RAM is there. */
function spansAt(memory: GuestMemory, address: number, length: number, access: 'read' | 'write'): Span[] | undefined {
  return Number.isSafeInteger(address) ? memory.spans(address, length, access) : undefined;
}

/** Bytes to be read at once: the live span where there is just one, else a copy; `undefined` where there is no RAM. */
export function readBytes(memory: GuestMemory, address: number, length: number): Uint8Array | undefined {
  const spans = spansAt(memory, address, length, 'read');
  if (spans === undefined || spans.length === 1) return spans?.[0];
  const result = new Uint8Array(length);
  let at = 0;
  for (const span of spans) {
    result.set(span, at);
    at += span.length;
  }
  return result;
}

/** Writes bytes; `false`, with nothing written, where there is no RAM. */
export function writeBytes(memory: GuestMemory, address: number, bytes: Uint8Array): boolean {
  const spans = spansAt(memory, address, bytes.length, 'write');
  let at = 0;
  for (const span of spans ?? []) {
    span.set(bytes.subarray(at, at + span.length));
    at += span.length;
  }
  return spans !== undefined;
}

/** The two bytes as one element, so that a load or store is never torn; `undefined` if the host bytes are not aligned. */
function element(bytes: Uint8Array): Uint16Array | undefined {
  return (bytes.byteOffset & 1) === 0 ? new Uint16Array(bytes.buffer, bytes.byteOffset, 1) : undefined;
}

/** Reads a 16-bit value at an even address; `undefined` where there is no RAM. */
export function readU16(memory: GuestMemory, address: number): number | undefined {
  const bytes = readBytes(memory, address, 2);
  return bytes && (element(bytes)?.[0] ?? bytes[0]! | (bytes[1]! << 8));
}

/** Writes a 16-bit value at an even address; `false` where there is no RAM. */
export function writeU16(memory: GuestMemory, address: number, value: number): boolean {
  const spans = spansAt(memory, address, 2, 'write');
  const whole = spans?.length === 1 ? element(spans[0]!) : undefined;
  if (whole === undefined) return writeBytes(memory, address, Uint8Array.of(value & 0xff, (value >> 8) & 0xff));
  whole[0] = value;
  return true;
}

const fenceWord = new Int32Array(new ArrayBuffer(4));

/**
 * Orders this side's earlier stores before its later loads. Driver and device each write an index and then read the
 * other's wish to be told; without the fence both can miss the other (virtio 1.2 2.7.10, 2.7.13.4.1).
 */
export function fence(): void {
  Atomics.store(fenceWord, 0, 0);
}
