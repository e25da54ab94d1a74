/** Little-endian building blocks for the tables that firmware writes. Each returns fresh bytes. */

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

export function u8(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

export function u16(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 2));
  values.forEach((value, i) => {
    view.setUint16(i * 2, value, true);
  });
  return new Uint8Array(view.buffer);
}

export function u32(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => {
    view.setUint32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

/** Numbers must be integers below 2^53. */
export function u64(...values: readonly (number | bigint)[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 8));
  values.forEach((value, i) => {
    view.setBigUint64(i * 8, BigInt(value), true);
  });
  return new Uint8Array(view.buffer);
}

/** ASCII text, cut or filled with `fill` to `length` bytes. Without `length`, as long as the text. */
export function ascii(text: string, length = text.length, fill = 0x20): Uint8Array {
  const result = new Uint8Array(length).fill(fill);
  for (let i = 0; i < Math.min(length, text.length); i++) result[i] = text.charCodeAt(i) & 0x7f;
  return result;
}

/** The byte that makes the sum of all `bytes` and itself zero modulo 256. */
export function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** A copy of `bytes` whose byte at `at` makes the sum of the whole zero. */
export function withChecksum(bytes: Uint8Array, at: number): Uint8Array {
  const result = bytes.slice();
  result[at] = 0;
  result[at] = checksum(result);
  return result;
}

/** `value` rounded up to a multiple of `alignment`; exact to 2^53. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

export function alignDown(value: number, alignment: number): number {
  return Math.floor(value / alignment) * alignment;
}
