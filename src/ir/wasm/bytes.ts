/** A growing byte buffer with WebAssembly's variable-length integers (core specification 5.2.2). */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  length = 0;

  /** `capacity`: bytes that fit before it grows. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  #room(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + count));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    if (this.length === this.#bytes.length) this.#room(1);
    this.#bytes[this.length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    const { length } = values;
    this.#room(length);
    // The usual one or two bytes of an opcode are not worth a call.
    if (length > 32) this.#bytes.set(values, this.length);
    else for (let i = 0; i < length; i++) this.#bytes[this.length + i] = values[i];
    this.length += length;
  }

  /** Replaces a byte written before. */
  patch(at: number, value: number): void {
    this.#bytes[at] = value;
  }

  /** Forgets all but the first `length` bytes. */
  truncate(length: number): void {
    this.length = length;
  }

  /** Unsigned LEB128 of a value below 2^32. */
  u32(value: number): void {
    let rest = value >>> 0;
    while (rest >= 128) {
      this.byte((rest & 127) | 128);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 127;
      rest >>= 7;
      if ((rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 128);
    }
  }

  /** Signed LEB128 of a 64-bit value. */
  s64(value: bigint): void {
    // Numbers are quicker than BigInts, and all but few constants are exact as one.
    let rest = Number(value);
    if (!Number.isSafeInteger(rest)) {
      this.#s64(value);
      return;
    }
    while (rest < -0x4000_0000 || rest > 0x3fff_ffff) {
      const high = Math.floor(rest / 128);
      this.byte((rest - high * 128) | 128);
      rest = high;
    }
    this.s32(rest);
  }

  #s64(value: bigint): void {
    let rest = value;
    for (;;) {
      const low = Number(rest & 127n);
      rest >>= 7n;
      if ((rest === 0n && (low & 64) === 0) || (rest === -1n && (low & 64) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 128);
    }
  }

  f32(value: number): void {
    this.#room(4);
    this.#view.setFloat32(this.length, value, true);
    this.length += 4;
  }

  f64(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.length, value, true);
    this.length += 8;
  }

  /** A name of ASCII characters. */
  name(text: string): void {
    this.u32(text.length);
    for (let i = 0; i < text.length; i++) {
      const character = text.charCodeAt(i);
      if (character > 127) throw new RangeError(`the name ${text} is not ASCII`);
      this.byte(character);
    }
  }

  /** The bytes written so far, as a view. */
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}
