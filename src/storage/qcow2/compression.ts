/** Compressed clusters (QEMU, docs/interop/qcow2.txt, "Cluster mapping"). */
import { promisify } from 'node:util';
import { constants, inflateRaw, zstdDecompress } from 'node:zlib';
import type { ByteFile } from '../byte-file.ts';
import { damaged, type Header } from './header.ts';

const inflate = promisify(inflateRaw);
const unzstd = promisify(zstdDecompress);

/** Clusters that are kept decompressed: a guest reads one in pieces. */
const KEPT = 16;

/**
 * The length of the zstd frame that `bytes` begins with (RFC 8878, 3.1.1), as the last sector goes on after it; all of `bytes` if that
 * makes no sense.
 */
export function zstdFrameLength(bytes: Uint8Array): number {
  const descriptor = bytes[4] ?? 0;
  const contentSize = [descriptor & 0x20 ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  let at = 5 + (descriptor & 0x20 ? 0 : 1) + dictionary + contentSize;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) return bytes.length;
    const header = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    last = (header & 1) === 1;
    // A run-length block has one byte, whatever it stands for.
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3);
  }
  return Math.min(bytes.length, at + (descriptor & 4 ? 4 : 0));
}

export interface Decompressor {
  /** The cluster whose compressed bytes lie there. Rejects with 'bad-input' where they are none. The bytes are not to be changed. */
  read(host: number, length: number): Promise<Uint8Array>;
}

export function createDecompressor(file: ByteFile, { clusterSize, compression }: Header): Decompressor {
  /** By place, the least recently used first. */
  const kept = new Map<number, Uint8Array>();

  async function decompress(bytes: Uint8Array): Promise<Uint8Array> {
    const limit = { maxOutputLength: clusterSize };
    if (compression === 'zstd') return unzstd(bytes.subarray(0, zstdFrameLength(bytes)), limit);
    return inflate(bytes, { ...limit, finishFlush: constants.Z_SYNC_FLUSH });
  }

  return {
    async read(host, length) {
      const known = kept.get(host);
      if (known !== undefined) {
        kept.delete(host);
        kept.set(host, known);
        return known;
      }
      if (host < clusterSize || host >= file.size || length > 2 * clusterSize) {
        throw damaged(file, `compressed data at ${host} lies outside the file`);
      }
      const bytes = new Uint8Array(length);
      await file.read(host, [bytes]);
      const result = await decompress(bytes).catch((error: unknown) => {
        throw damaged(
          file,
          `compressed data at ${host} cannot be decompressed (${(error as NodeJS.ErrnoException).code})`,
        );
      });
      if (result.length !== clusterSize) throw damaged(file, `compressed data at ${host} is not a whole cluster`);
      kept.set(host, result);
      for (const key of kept.keys()) {
        if (kept.size <= KEPT) break;
        kept.delete(key);
      }
      return result;
    },
  };
}
