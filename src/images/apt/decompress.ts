/** The compressions that Debian's archive uses: xz, zstd, gzip, none. */
import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import xzDecompress from 'xz-decompress';
import { VirtsError } from '../../base/errors.ts';

/** The compression that a file name's ending says. */
export type Compression = 'xz' | 'zst' | 'gz' | '';

/** The compression of `name` by its ending; `undefined` for an unknown one. `plain` is the name without any. */
export function compressionOf(name: string, plain: string): Compression | undefined {
  const ending = name === plain ? '' : name.slice(plain.length + 1);
  return ending === 'xz' || ending === 'zst' || ending === 'gz' || ending === '' ? ending : undefined;
}

async function* guarded(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    if (error instanceof VirtsError) throw error;
    throw new VirtsError('bad-input', `${what} is damaged: it cannot be unpacked.`, { what }, error);
  }
}

/** Unpacks a stream. `what` names it in the `bad-input` error that damaged data gives. */
export function decompress(source: Readable, compression: Compression, what: string): AsyncIterable<Uint8Array> {
  switch (compression) {
    case 'xz':
      return guarded(new xzDecompress.XzReadableStream(Readable.toWeb(source) as ReadableStream<Uint8Array>), what);
    case 'zst':
      return guarded(source.on('error', () => {}).pipe(createZstdDecompress()), what);
    case 'gz':
      return guarded(source.on('error', () => {}).pipe(createGunzip()), what);
    case '':
      return guarded(source, what);
  }
}
