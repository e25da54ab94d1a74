/** A file on a web server as disk formats see it: read only, in blocks that are kept for a while. */
import { VirtsError } from '../../base/errors.ts';
import { type ByteFile, type Bytes, byteLength, fill } from '../byte-file.ts';
import { openRanges, type RangesOptions } from './ranges.ts';

export interface HttpFileOptions extends Omit<RangesOptions, 'signal'> {
  /** Bytes of a block, a power of two. */
  readonly blockSize?: number | undefined;
  /** Bytes of blocks that are kept. */
  readonly cacheSize?: number | undefined;
}

const BLOCK = 128 * 1024;
const CACHE = 64 * 2 ** 20;
/** Most blocks of one request. A reader that goes on where it stopped gets twice as many each time, up to that. */
const MOST_BLOCKS = 32;

/** Opens a file by its address. Rejects as `openRanges` does. */
export async function openHttpFile(options: HttpFileOptions): Promise<ByteFile> {
  const { blockSize = BLOCK, cacheSize = CACHE } = options;
  const stop = new AbortController();
  const ranges = await openRanges({ ...options, signal: stop.signal });
  const { name, size } = ranges;
  const blocks = Math.ceil(size / blockSize);
  /** By number, the least recently used first; one that is on its way is there, too. */
  const cache = new Map<number, Promise<Uint8Array>>();
  /** Where a reader would go on that reads in order, and how many blocks were got for it. */
  let next = -1;
  let ahead = 1;

  function keep(block: number, content: Promise<Uint8Array>): void {
    cache.delete(block);
    cache.set(block, content);
    if (cache.size * blockSize > Math.max(cacheSize, 2 * MOST_BLOCKS * blockSize)) {
      cache.delete(cache.keys().next().value!);
    }
  }

  /** Gets `count` blocks that are not there. */
  function request(first: number, count: number): void {
    const begin = first * blockSize;
    const piece = ranges.get(begin, Math.min(count * blockSize, size - begin));
    for (let i = 0; i < count; i++) {
      const content = piece.then((bytes) => bytes.slice(i * blockSize, (i + 1) * blockSize));
      keep(first + i, content);
      // What could not be had now may be had later. Whoever waits for it hears of it.
      content.catch(() => cache.get(first + i) === content && cache.delete(first + i));
    }
  }

  /** Gets what is missing of the blocks `[first, end)`, and more where they are read in order. */
  function want(first: number, end: number): void {
    ahead = first === next || first === next - 1 ? Math.min(ahead * 2, MOST_BLOCKS) : 1;
    for (let block = first; block < end; ) {
      const known = cache.get(block);
      if (known !== undefined) {
        keep(block++, known);
        continue;
      }
      const most = Math.min(blocks, block + MOST_BLOCKS, Math.max(end, first + ahead));
      let count = 1;
      while (block + count < most && !cache.has(block + count)) count++;
      request(block, count);
      block += count;
    }
    next = end;
  }

  async function read(position: number, into: Bytes): Promise<void> {
    const end = Math.min(position + byteLength(into), size);
    const missing = position + byteLength(into) - Math.max(position, end);
    for (let at = position; at < end; ) {
      const first = Math.floor(at / blockSize);
      const last = Math.min(Math.ceil(end / blockSize), first + MOST_BLOCKS);
      want(first, last);
      const contents = Array.from({ length: last - first }, (_, i) => cache.get(first + i)!);
      for (const [i, bytes] of (await Promise.all(contents)).entries()) {
        const begin = (first + i) * blockSize;
        const piece = bytes.subarray(at - begin, Math.min(bytes.length, end - begin));
        fill(into, at - position, piece);
        at += piece.length;
      }
    }
    if (missing > 0) fill(into, byteLength(into) - missing, new Uint8Array(missing));
  }

  const refuse = async () => {
    throw new VirtsError('io', `${name} cannot be written to: it is on a web server.`, { name });
  };
  return {
    name,
    readOnly: true,
    size,
    read,
    write: refuse,
    zero: refuse,
    truncate: refuse,
    async sync() {},
    async close() {
      stop.abort();
    },
  };
}
