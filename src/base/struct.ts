/**
 * Typed structs in shared memory.
 *
 * A vCPU's registers and every device's registers are declared once as a list of fields. From that declaration come the
 * layout, the accessors, and the saved form: saving is copying the bytes, restoring is checking and writing them.
 */

/** A scalar field. `u64` is read and written as `bigint`; `f64` is a host number (times in nanoseconds). */
export type ScalarType = 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'f64';

/** A fixed-length field: an array of scalars; `u8` arrays double as byte buffers. */
export type ArrayType = readonly [element: ScalarType, length: number];

export type FieldType = ScalarType | ArrayType;

export type Fields = Readonly<Record<string, FieldType>>;

type ScalarValue<T extends ScalarType> = T extends 'u64' ? bigint : number;

type ArrayValue<T extends ScalarType> = T extends 'u8'
  ? Uint8Array
  : T extends 'u16'
    ? Uint16Array
    : T extends 'u32'
      ? Uint32Array
      : T extends 'i32'
        ? Int32Array
        : T extends 'u64'
          ? BigUint64Array
          : Float64Array;

/** Live accessors over a struct's bytes: assigning to a property writes shared memory. */
export type StructView<F extends Fields> = {
  -readonly [K in keyof F as F[K] extends ScalarType ? K : never]: F[K] extends ScalarType ? ScalarValue<F[K]> : never;
} & {
  readonly [K in keyof F as F[K] extends ArrayType ? K : never]: F[K] extends ArrayType ? ArrayValue<F[K][0]> : never;
};

export interface StructSchema<F extends Fields> {
  readonly name: string;
  /** Raised whenever the layout or the meaning of a field changes. */
  readonly version: number;
  readonly fields: F;
  /** Bytes, a multiple of 16. */
  readonly size: number;
  /** Byte offset of each field from the start of the struct. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** Accessors over `size` bytes of `buffer` at `byteOffset`, which must be a multiple of 16. */
  view(buffer: ArrayBufferLike, byteOffset: number): StructView<F>;
}

const SIZES: Record<ScalarType, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, f64: 8 };

const ARRAYS = {
  u8: Uint8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  u64: BigUint64Array,
  f64: Float64Array,
} as const;

function accessor(type: ScalarType, view: DataView, at: number): PropertyDescriptor {
  switch (type) {
    case 'u8':
      return { get: () => view.getUint8(at), set: (v: number) => view.setUint8(at, v) };
    case 'u16':
      return { get: () => view.getUint16(at, true), set: (v: number) => view.setUint16(at, v, true) };
    case 'u32':
      return { get: () => view.getUint32(at, true), set: (v: number) => view.setUint32(at, v, true) };
    case 'i32':
      return { get: () => view.getInt32(at, true), set: (v: number) => view.setInt32(at, v, true) };
    case 'u64':
      return { get: () => view.getBigUint64(at, true), set: (v: bigint) => view.setBigUint64(at, v, true) };
    case 'f64':
      return { get: () => view.getFloat64(at, true), set: (v: number) => view.setFloat64(at, v, true) };
  }
}

/** Declares a struct. Fields are laid out in order at their natural alignment. */
export function struct<const F extends Fields>(name: string, version: number, fields: F): StructSchema<F> {
  const offsets: Record<string, number> = {};
  let end = 0;
  for (const [key, type] of Object.entries(fields)) {
    const [scalar, count] = typeof type === 'string' ? [type, 1] : type;
    const align = SIZES[scalar];
    end = Math.ceil(end / align) * align;
    offsets[key] = end;
    end += SIZES[scalar] * count;
  }
  const size = Math.max(16, Math.ceil(end / 16) * 16);
  return {
    name,
    version,
    fields,
    size,
    offsets: offsets as { readonly [K in keyof F]: number },
    view(buffer, byteOffset) {
      const data = new DataView(buffer, byteOffset, size);
      const result = {};
      for (const [key, type] of Object.entries(fields)) {
        const at = offsets[key] as number;
        const descriptor =
          typeof type === 'string'
            ? accessor(type, data, at)
            : { value: new ARRAYS[type[0]](buffer as ArrayBuffer, byteOffset + at, type[1]) };
        Object.defineProperty(result, key, { ...descriptor, enumerable: true });
      }
      return result as StructView<F>;
    },
  };
}

/** A struct that owns its bytes, for tests and for single-threaded use. `initial` writes what it holds if not zeros. */
export function allocate<F extends Fields>(
  schema: StructSchema<F>,
  initial?: (state: StructView<F>) => void,
): StructView<F> {
  const view = schema.view(new ArrayBuffer(schema.size), 0);
  initial?.(view);
  return view;
}
