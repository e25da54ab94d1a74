/** Counts the references to each cluster anew, for an image that was not closed and whose refcounts were left for later. */
import { VirtsError } from '../../base/errors.ts';
import type { ByteFile } from '../byte-file.ts';
import { entryOffset, readMapping } from './entry.ts';
import { damaged, type Header } from './header.ts';
import type { Metadata } from './metadata.ts';
import type { Refcounts } from './refcounts.ts';

/** Clusters of the largest file that is counted. */
const MOST_CLUSTERS = 2 ** 27;
const SNAPSHOT_HEADER = 40;
const MAX_L1_BYTES = 32 * 2 ** 20;

interface L1Place {
  readonly offset: number;
  readonly entries: number;
}

/** The L1 tables of the internal snapshots, and the length of the table that lists them. */
async function readSnapshots(
  file: ByteFile,
  { snapshots, snapshotsOffset }: Header,
): Promise<{ tables: L1Place[]; length: number }> {
  const tables: L1Place[] = [];
  let at = snapshotsOffset;
  for (let i = 0; i < snapshots; i++) {
    const bytes = new Uint8Array(SNAPSHOT_HEADER);
    await file.read(at, [bytes]);
    const view = new DataView(bytes.buffer);
    const table = { offset: Number(view.getBigUint64(0)), entries: view.getUint32(8) };
    if (table.entries * 8 > MAX_L1_BYTES) throw damaged(file, 'a snapshot has too large an L1 table');
    tables.push(table);
    const length = SNAPSHOT_HEADER + view.getUint32(36) + view.getUint16(12) + view.getUint16(14);
    at += Math.ceil(length / 8) * 8;
    if (at > file.size) throw damaged(file, 'the snapshot table reaches past the end of the file');
  }
  return { tables, length: at - snapshotsOffset };
}

/** References to each cluster of the file. */
async function countReferences(file: ByteFile, header: Header, metadata: Metadata): Promise<Uint32Array> {
  const { clusterSize, clusterBits, version, l2Entries } = header;
  const clusters = Math.ceil(file.size / clusterSize);
  if (clusters > MOST_CLUSTERS) {
    throw new VirtsError(
      'unsupported',
      `${file.name} is too large to be repaired here; run qemu-img check -r all on it.`,
    );
  }
  const counts = new Uint32Array(clusters);
  function count(offset: number, length: number, times = 1): void {
    const last = Math.min(clusters - 1, Math.floor((offset + length - 1) / clusterSize));
    for (let cluster = Math.floor(offset / clusterSize); cluster <= last; cluster++) counts[cluster] += times;
  }

  const snapshots = await readSnapshots(file, header);
  count(0, clusterSize);
  count(header.l1Offset, header.l1Entries * 8);
  count(header.refcountOffset, header.refcountClusters * clusterSize);
  for (const offset of metadata.refcountTable) if (offset !== 0) count(offset, clusterSize);
  if (header.snapshots > 0) count(header.snapshotsOffset, snapshots.length);

  /** How often each L2 table is referred to: each is read once, whatever the L1 tables say. */
  const l2Tables = new Map<number, number>();
  function countL1(view: DataView, entries: number): void {
    for (let i = 0; i < entries; i++) {
      const offset = entryOffset(view, i);
      if (offset !== 0) l2Tables.set(offset, (l2Tables.get(offset) ?? 0) + 1);
    }
  }
  countL1(metadata.l1, header.l1Entries);
  for (const { offset, entries } of snapshots.tables) {
    const bytes = new Uint8Array(entries * 8);
    await file.read(offset, [bytes]);
    count(offset, entries * 8);
    countL1(new DataView(bytes.buffer), entries);
  }
  for (const [offset, times] of l2Tables) {
    const table = await metadata.load(offset);
    count(offset, clusterSize, times);
    for (let i = 0; i < l2Entries; i++) {
      const mapping = readMapping(table.view, i, version, clusterBits);
      if (mapping.kind === 'compressed') count(mapping.host, mapping.length, times);
      else if (mapping.kind !== 'none' && mapping.host !== 0) count(mapping.host, clusterSize, times);
    }
  }
  return counts;
}

/** Sets every refcount to what it should be. */
export async function repairRefcounts(
  file: ByteFile,
  header: Header,
  metadata: Metadata,
  refcounts: Refcounts,
): Promise<void> {
  if (header.hasBitmaps) {
    throw new VirtsError(
      'unsupported',
      `${file.name} was not closed and has bitmaps; run qemu-img check -r all on it.`,
    );
  }
  const counts = await countReferences(file, header, metadata);
  for (const [cluster, count] of counts.entries()) {
    const offset = cluster * header.clusterSize;
    if ((await refcounts.get(offset)) !== count) await refcounts.set(offset, count);
  }
}
