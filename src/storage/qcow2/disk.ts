/**
 * A disk in a qcow2 image, versions 2 and 3 (QEMU, docs/interop/qcow2.txt). Data is written where it belongs, or to new
 * clusters, at once; the tables that say so follow with the next flush (`metadata.ts`).
 */
import { type BlockDevice, SECTOR } from '../block-device.ts';
import { type ByteFile, type Bytes, byteLength, fill, slice, zeros } from '../byte-file.ts';
import { createClaims, createLock } from '../lock.ts';
import { createDecompressor } from './compression.ts';
import type { Header } from './header.ts';
import { createMapper, type Run } from './mapping.ts';
import { createMetadata } from './metadata.ts';
import { prepareForWriting, readL1, readRefcountTable } from './prepare.ts';
import { createRefcounts } from './refcounts.ts';

/**
 * Opens the disk in an image whose header was read. Throws VirtsError 'bad-input'.
 * @param backing what shows through where the image has nothing. It is closed with this disk.
 */
export async function openQcow2Disk(
  file: ByteFile,
  header: Header,
  backing: BlockDevice | undefined,
): Promise<BlockDevice> {
  const { clusterSize, l2Entries, version } = header;
  const { readOnly } = file;
  const size = Math.ceil(header.size / SECTOR) * SECTOR;
  /** Operations under way, and clean-ups behind them. */
  const active = new Set<Promise<unknown>>();
  const cleanups = new Set<Promise<unknown>>();

  const metadata = createMetadata({
    file,
    header,
    l1: await readL1(file, header),
    refcountTable: readOnly ? [] : await readRefcountTable(file, header),
    retired(extents) {
      // Operations that looked a cluster up may be using it still.
      const cleanup = Promise.allSettled(active)
        .then(() => refcounts.release(extents))
        // What cannot be given back is lost room, no more.
        .catch(() => {})
        .finally(() => cleanups.delete(cleanup));
      cleanups.add(cleanup);
    },
  });
  const refcounts = createRefcounts(file, header, metadata);
  const mapper = createMapper({ file, header, metadata, refcounts });
  const decompressor = createDecompressor(file, header);
  const claims = createClaims();
  const tables = createLock();

  /** Whether a run reads as zeros. */
  const isZero = ({ mapping }: Run) => mapping.kind === 'zero' || (mapping.kind === 'none' && backing === undefined);
  const isInPlace = ({ mapping }: Run) => mapping.kind === 'data' && mapping.owned;

  async function readBacking(position: number, into: Bytes): Promise<void> {
    const length = byteLength(into);
    const there = Math.min(length, Math.max(0, (backing?.size ?? 0) - position));
    if (there > 0) await backing!.read(position, there === length ? into : slice(into, 0, there));
    for (const piece of slice(into, there, length - there)) piece.fill(0);
  }

  async function readRun(position: number, run: Run, into: Bytes): Promise<void> {
    const { mapping } = run;
    if (mapping.kind === 'data') await file.read(run.host, into);
    else if (mapping.kind === 'none') await readBacking(position, into);
    else if (mapping.kind === 'zero') for (const piece of into) piece.fill(0);
    else {
      const cluster = await decompressor.read(mapping.host, mapping.length);
      const within = position % clusterSize;
      fill(into, 0, cluster.subarray(within, within + run.length));
    }
  }

  async function read(position: number, into: Bytes): Promise<void> {
    const total = byteLength(into);
    for (let done = 0; done < total; ) {
      const run = await mapper.lookup(position + done, total - done);
      await readRun(position + done, run, run.length === total ? into : slice(into, done, run.length));
      done += run.length;
    }
  }

  /** What a new cluster has before and after the bytes that are written to it; nothing where it is so already. */
  async function surroundings(position: number, length: number, run: Run, fresh: boolean): Promise<[Bytes, Bytes]> {
    const head = position % clusterSize;
    const tail = (clusterSize - ((position + length) % clusterSize)) % clusterSize;
    if (isZero(run)) return fresh ? [[], []] : [zeros(head), zeros(tail)];
    const [before, after] = [new Uint8Array(head), new Uint8Array(tail)];
    if (head > 0) await read(position - head, [before]);
    const inside = Math.min(tail, Math.max(0, size - position - length));
    if (inside > 0) await read(position + length, [after.subarray(0, inside)]);
    return [[before], [after]];
  }

  /** Writes to new clusters, as many as there are in a row; returns how many bytes, 0 if it can be done in place by now. */
  async function writeNew(position: number, from: Bytes): Promise<number> {
    const first = Math.floor(position / clusterSize);
    const wanted = Math.ceil((position + byteLength(from)) / clusterSize) - first;
    const giveBack = await claims.take(first, wanted);
    try {
      const run = await mapper.lookup(position, byteLength(from));
      if (isInPlace(run)) return 0;
      await tables(() => mapper.prepare(first));
      const count = Math.ceil((position + run.length) / clusterSize) - first;
      const extent = await refcounts.allocate(count);
      try {
        const length = Math.min(run.length, first * clusterSize + extent.length - position);
        const [before, after] = await surroundings(position, length, run, extent.fresh);
        const start = extent.offset + (position % clusterSize) - byteLength(before);
        await file.write(start, [...before, ...slice(from, 0, length), ...after]);
        await tables(() => mapper.map(first, extent.length / clusterSize, extent.offset));
        return length;
      } catch (error) {
        await refcounts.release([extent]).catch(() => {});
        throw error;
      }
    } finally {
      giveBack();
    }
  }

  async function write(position: number, from: Bytes): Promise<void> {
    const total = byteLength(from);
    for (let done = 0; done < total; ) {
      const run = await mapper.lookup(position + done, total - done);
      const part = run.length === total ? from : slice(from, done, run.length);
      if (isInPlace(run)) {
        await file.write(run.host, part);
        done += run.length;
      } else done += await writeNew(position + done, part);
    }
    if (metadata.flushIsDue()) await metadata.flush();
  }

  /** Lets whole clusters read as zeros, or as nothing that matters, without data. */
  async function unmap(first: number, count: number): Promise<void> {
    for (let done = 0; done < count; ) {
      const cluster = first + done;
      const part = Math.min(count - done, l2Entries - (cluster % l2Entries));
      const giveBack = await claims.take(cluster, part);
      try {
        await tables(() => mapper.unmap(cluster, part, backing !== undefined));
      } finally {
        giveBack();
      }
      done += part;
      if (metadata.flushIsDue()) await metadata.flush();
    }
  }

  /** Clusters that lie wholly in a range. The disk's end ends its last one. */
  function wholeClusters(position: number, length: number): { first: number; count: number } {
    const first = Math.ceil(position / clusterSize);
    const end =
      position + length === size ? Math.ceil(size / clusterSize) : Math.floor((position + length) / clusterSize);
    return { first, count: Math.max(0, end - first) };
  }

  /** Version 2 cannot say that a cluster is zero where the backing file has something. */
  const canUnmap = version === 3 || backing === undefined;

  async function writeZeroes(position: number, length: number, unmaps: boolean): Promise<void> {
    for (let done = 0; done < length; ) {
      const at = position + done;
      const run = await mapper.lookup(at, length - done);
      const { first, count } = wholeClusters(at, run.length);
      // Up to where whole clusters begin, or all whole clusters of the run.
      const head = count > 0 ? first * clusterSize - at : run.length;
      const whole = Math.min(run.length, count * clusterSize);
      if (isZero(run)) done += run.length;
      else if (isInPlace(run) && !unmaps) {
        await file.zero(run.host, run.length, false);
        done += run.length;
      } else if (head > 0 || !canUnmap) {
        const part = Math.min(head > 0 ? head : whole, 2 ** 20);
        await write(at, zeros(part));
        done += part;
      } else {
        await unmap(first, count);
        done += whole;
      }
    }
  }

  async function discard(position: number, length: number): Promise<void> {
    const { first, count } = wholeClusters(position, length);
    if (canUnmap) await unmap(first, count);
  }

  /** Runs an operation so that clusters it may be using are not used for something else. */
  function track<T>(operation: Promise<T>): Promise<T> {
    active.add(operation);
    const done = () => active.delete(operation);
    operation.then(done, done);
    return operation;
  }

  async function close(): Promise<void> {
    try {
      if (readOnly) return;
      await metadata.flush();
      // What the flush retired is released now, which changes refcounts.
      await Promise.all(cleanups);
      await metadata.flush();
    } finally {
      await file.close();
      await backing?.close();
    }
  }

  if (!readOnly) await prepareForWriting(file, header, metadata, refcounts);
  return {
    size,
    readOnly,
    granularity: clusterSize,
    read: (position, into) => track(read(position, into)),
    write: (position, from) => track(write(position, from)),
    writeZeroes: (position, length, unmaps) => track(writeZeroes(position, length, unmaps)),
    discard: (position, length) => track(discard(position, length)),
    flush: metadata.flush,
    ...(file.warning && { warning: file.warning }),
    close,
  };
}
