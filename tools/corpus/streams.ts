/** Byte streams with variable-length integers (7 bits a byte, low first; signed ones zigzag). */

export interface Writer {
  byte(value: number): void;
  /** Unsigned, below 2^32. */
  varint(value: number): void;
  /** Signed, any size up to 64 bits. */
  signed(value: bigint): void;
  bytes(values: Uint8Array): void;
  take(): Uint8Array;
}

export function createWriter(): Writer {
  let buffer = new Uint8Array(1 << 12);
  let end = 0;
  const reserve = (count: number): void => {
    if (end + count <= buffer.length) return;
    const larger = new Uint8Array(Math.max(buffer.length * 2, end + count));
    larger.set(buffer.subarray(0, end));
    buffer = larger;
  };
  return {
    byte(value) {
      reserve(1);
      buffer[end++] = value;
    },
    varint(value) {
      reserve(5);
      let rest = value >>> 0;
      for (; rest > 127; rest >>>= 7) buffer[end++] = rest | 128;
      buffer[end++] = rest;
    },
    signed(value) {
      reserve(10);
      let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
      for (; rest > 127n; rest >>= 7n) buffer[end++] = Number(rest & 127n) | 128;
      buffer[end++] = Number(rest);
    },
    bytes(values) {
      reserve(values.length);
      buffer.set(values, end);
      end += values.length;
    },
    take: () => buffer.slice(0, end),
  };
}

/** Reading past the end throws RangeError. */
export interface Reader {
  byte(): number;
  varint(): number;
  signed(): bigint;
  /** A view of the stream, not a copy. */
  bytes(count: number): Uint8Array;
  atEnd(): boolean;
}

export function createReader(data: Uint8Array): Reader {
  let at = 0;
  const byte = (): number => {
    if (at >= data.length) throw new RangeError('the corpus stream ends early');
    return data[at++];
  };
  return {
    byte,
    varint() {
      let value = 0;
      for (let shift = 0; shift < 35; shift += 7) {
        const next = byte();
        value |= (next & 127) << shift;
        if (next < 128) break;
      }
      return value >>> 0;
    },
    signed() {
      let value = 0n;
      for (let shift = 0n; shift < 70n; shift += 7n) {
        const next = byte();
        value |= BigInt(next & 127) << shift;
        if (next < 128) break;
      }
      return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    },
    bytes(count) {
      if (at + count > data.length) throw new RangeError('the corpus stream ends early');
      at += count;
      return data.subarray(at - count, at);
    },
    atEnd: () => at === data.length,
  };
}
