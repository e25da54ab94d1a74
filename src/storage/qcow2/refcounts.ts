/** Which clusters of a qcow2 image are in use, and by how many references. */
import type { ByteFile } from '../byte-file.ts';
import { createLock } from '../lock.ts';
import { damaged, type Header, MAX_REFCOUNT_TABLE_BYTES } from './header.ts';
import type { Metadata, Table } from './metadata.ts';

/** Neighbouring clusters. Bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

export interface Refcounts {
  /** References to the cluster at `offset`. */
  get(offset: number): Promise<number>;
  /** Takes up to `count` free clusters in a row, at least one, for one reference each. */
  allocate(count: number): Promise<Extent & { /** Never used before: reads as zeros. */ readonly fresh: boolean }>;
  /** Drops one reference to each cluster that an extent touches, and gives those that are free then back to the host. */
  release(extents: readonly Extent[]): Promise<void>;
  /** Sets the number of references to a cluster, for repairs. */
  set(offset: number, count: number): Promise<void>;
}

/** Reads and writes refcounts of `bits` bits in a block: big-endian, narrow ones from the low bits of a byte up. */
export function refcountAccess(bits: number) {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  return {
    get({ view, bytes }: Table, index: number): number {
      if (bits === 16) return view.getUint16(2 * index);
      if (bits < 8) return (bytes[Math.floor(index / perByte)]! >> ((index % perByte) * bits)) & mask;
      if (bits === 8) return bytes[index]!;
      return bits === 32 ? view.getUint32(4 * index) : Number(view.getBigUint64(8 * index));
    },
    set({ view, bytes }: Table, index: number, value: number): void {
      if (bits === 16) view.setUint16(2 * index, value);
      else if (bits < 8) {
        const shift = (index % perByte) * bits;
        const at = Math.floor(index / perByte);
        bytes[at] = (bytes[at]! & ~(mask << shift)) | (value << shift);
      } else if (bits === 8) bytes[index] = value;
      else if (bits === 32) view.setUint32(4 * index, value);
      else view.setBigUint64(8 * index, BigInt(value));
    },
  };
}

export function createRefcounts(file: ByteFile, header: Header, metadata: Metadata): Refcounts {
  const { clusterSize, refcountBits } = header;
  const access = refcountAccess(refcountBits);
  const perBlock = (clusterSize * 8) / refcountBits;
  const most = 2 ** Math.min(refcountBits, 53) - 1;
  const lock = createLock();
  /** No cluster below this is free. */
  let scan = 0;
  /** Clusters from here on were never part of the file. */
  let end = Math.ceil(file.size / clusterSize);

  async function block(cluster: number): Promise<Table | undefined> {
    const offset = metadata.refcountTable[Math.floor(cluster / perBlock)] ?? 0;
    return offset === 0 ? undefined : await metadata.load(offset);
  }

  async function get(cluster: number): Promise<number> {
    const table = await block(cluster);
    return table === undefined ? 0 : access.get(table, cluster % perBlock);
  }

  /** Sets a refcount whose block exists. */
  async function set(cluster: number, value: number): Promise<void> {
    const table = await block(cluster);
    if (table === undefined || value > most)
      throw damaged(file, 'a cluster is referred to more often than can be counted');
    access.set(table, cluster % perBlock, value);
    metadata.changed(table, 'refcount');
  }

  /**
   * Makes the refcount block that covers `cluster`, in that very cluster, which has to be free: so the block counts itself.
   * Where the refcount table has no place for it, a longer table follows in the next clusters. All at once, so that no flush
   * sees half of it.
   */
  function addBlock(cluster: number): void {
    const index = Math.floor(cluster / perBlock);
    if (index < metadata.refcountTable.length) {
      const table = metadata.create(cluster * clusterSize, 'refcount');
      access.set(table, cluster % perBlock, 1);
      metadata.setRefcountBlock(index, cluster * clusterSize);
      end = Math.max(end, cluster + 1);
      return;
    }
    const tableClusters = Math.ceil(((index + 1) * 1.5 * 8) / clusterSize) + 1;
    if (tableClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
      throw damaged(file, 'it cannot grow any more with clusters so small; convert it with qemu-img convert');
    }
    let blocks = 1;
    while ((index + blocks) * perBlock < cluster + blocks + tableClusters) blocks++;
    const places = Array.from({ length: blocks }, (_, i) => (cluster + i) * clusterSize);
    const made = places.map((offset) => metadata.create(offset, 'refcount'));
    for (let at = cluster; at < cluster + blocks + tableClusters; at++) {
      access.set(made[Math.floor(at / perBlock) - index]!, at % perBlock, 1);
    }
    metadata.moveRefcountTable((cluster + blocks) * clusterSize, (tableClusters * clusterSize) / 8);
    for (const [i, offset] of places.entries()) metadata.setRefcountBlock(index + i, offset);
    end = Math.max(end, cluster + blocks + tableClusters);
  }

  /** The first free cluster from `scan` on, which has a block. */
  async function findFree(): Promise<number> {
    for (;;) {
      const table = await block(scan);
      if (table === undefined) {
        // A file can have a hole in its refcounts; what lies there is nobody's.
        addBlock(scan);
        continue;
      }
      const first = Math.floor(scan / perBlock) * perBlock;
      for (let i = scan - first; i < perBlock; i++) {
        if (access.get(table, i) === 0) return first + i;
      }
      scan = first + perBlock;
    }
  }

  async function allocate(count: number) {
    const first = await findFree();
    let length = 0;
    while (length < count) {
      const table = await block(first + length);
      if (table === undefined || access.get(table, (first + length) % perBlock) !== 0) break;
      access.set(table, (first + length) % perBlock, 1);
      metadata.changed(table, 'refcount');
      length++;
    }
    scan = first + length;
    const fresh = first >= end;
    end = Math.max(end, scan);
    return { offset: first * clusterSize, length: length * clusterSize, fresh };
  }

  /** The clusters that extents touch, each as often as it is touched. */
  function clustersOf(extents: readonly Extent[]): number[] {
    return extents.flatMap(({ offset, length }) => {
      const first = Math.floor(offset / clusterSize);
      return Array.from({ length: Math.ceil((offset + length) / clusterSize) - first }, (_, i) => first + i);
    });
  }

  /** Gives the space of clusters back to the host, neighbours at once. */
  async function punch(clusters: readonly number[]): Promise<void> {
    for (let i = 0; i < clusters.length; ) {
      let count = 1;
      while (clusters[i + count] === clusters[i]! + count) count++;
      await file.zero(clusters[i]! * clusterSize, count * clusterSize, true);
      i += count;
    }
  }

  async function release(extents: readonly Extent[]): Promise<void> {
    const clusters = clustersOf(extents);
    const last: number[] = [];
    for (const cluster of clusters) if ((await get(cluster)) === 1) last.push(cluster);
    // While they still count as used: afterwards they may hold something new.
    await punch(last.toSorted((a, b) => a - b));
    for (const cluster of clusters) {
      const count = await get(cluster);
      // An image may refer to a cluster more often than it counts.
      if (count === 0) continue;
      await set(cluster, count - 1);
      if (count === 1) scan = Math.min(scan, cluster);
    }
  }

  return {
    get: (offset) => get(Math.floor(offset / clusterSize)),
    allocate: (count) => lock(() => allocate(count)),
    release: (extents) => lock(() => release(extents)),
    set: (offset, count) =>
      lock(async () => {
        const cluster = Math.floor(offset / clusterSize);
        if ((await block(cluster)) === undefined) {
          if (count === 0) return;
          throw damaged(file, 'clusters in use are not counted at all; repair it with qemu-img check -r all');
        }
        await set(cluster, count);
      }),
  };
}
