/** Where the clusters of a qcow2 disk are. */
import type { ByteFile } from '../byte-file.ts';
import { entryOffset, isOwned, type Mapping, readMapping, writeOwned, writeUnmapped } from './entry.ts';
import { damaged, type Header } from './header.ts';
import type { Metadata, Table } from './metadata.ts';
import type { Refcounts } from './refcounts.ts';

/** A piece of the disk whose clusters are mapped alike: data clusters in a row, or nothing, or one compressed cluster. */
export interface Run {
  readonly mapping: Mapping;
  /** Where its first byte is in the file, for data. */
  readonly host: number;
  /** Bytes. */
  readonly length: number;
}

export interface Mapper {
  /** The run that begins at `position`, up to `length` bytes long. Rejects with 'bad-input' for a mapping that cannot be. */
  lookup(position: number, length: number): Promise<Run>;
  /** Maps `count` clusters from `first` on, of one L2 table, to neighbouring clusters of the file. What they were mapped to is retired. */
  map(first: number, count: number, host: number): Promise<void>;
  /** Maps them to nothing, or to zeros. */
  unmap(first: number, count: number, zero: boolean): Promise<void>;
  /** Makes the L2 table of a cluster ready to be changed, so that `map` needs no more space. */
  prepare(cluster: number): Promise<void>;
}

export interface MapperOptions {
  readonly file: ByteFile;
  readonly header: Header;
  readonly metadata: Metadata;
  readonly refcounts: Refcounts;
}

export function createMapper({ file, header, metadata, refcounts }: MapperOptions): Mapper {
  const { clusterSize, clusterBits, l2Entries, version } = header;
  const { l1 } = metadata;
  const fileEnd = () => Math.ceil(file.size / clusterSize) * clusterSize;

  /** Whether data may lie there: a whole cluster of the file, and none of those that hold the image together. */
  function isDataPlace(host: number): boolean {
    const overlaps = (offset: number, length: number) => host < offset + length && offset < host + clusterSize;
    const table = metadata.refcountTablePlace();
    return (
      host >= clusterSize &&
      host % clusterSize === 0 &&
      host < fileEnd() &&
      !overlaps(header.l1Offset, header.l1Entries * 8) &&
      !overlaps(table.offset, table.length)
    );
  }

  function check(mapping: Mapping): Mapping {
    if (mapping.kind !== 'data' || isDataPlace(mapping.host)) return mapping;
    throw damaged(file, `data at ${mapping.host} lies outside the file, on its tables, or is not aligned`);
  }

  /** Whether a cluster goes on where `count` clusters mapped as `first` end. */
  function continues(first: Mapping, next: Mapping, count: number): boolean {
    if (first.kind !== next.kind || first.kind === 'compressed') return false;
    if (first.kind !== 'data' || next.kind !== 'data') return true;
    return next.owned === first.owned && next.host === first.host + count * clusterSize && isDataPlace(next.host);
  }

  async function lookup(position: number, length: number): Promise<Run> {
    const cluster = Math.floor(position / clusterSize);
    const index = cluster % l2Entries;
    const within = position % clusterSize;
    const offset = entryOffset(l1, Math.floor(cluster / l2Entries));
    const most = Math.min(Math.ceil((within + length) / clusterSize), l2Entries - index);
    const run = (mapping: Mapping, count: number): Run => ({
      mapping,
      host: mapping.kind === 'none' ? 0 : mapping.host + within,
      length: Math.min(length, count * clusterSize - within),
    });
    if (offset === 0) return run({ kind: 'none' }, most);
    const { view } = await metadata.load(offset);
    const mapping = check(readMapping(view, index, version, clusterBits));
    let count = 1;
    while (count < most && continues(mapping, readMapping(view, index + count, version, clusterBits), count)) count++;
    return run(mapping, count);
  }

  /** A copy of an L2 table that a snapshot uses too. Nothing it refers to is its own. */
  function copyTable(from: Table, offset: number): Table {
    const table = metadata.create(offset, 'l2');
    table.bytes.set(from.bytes);
    for (let i = 0; i < l2Entries; i++) {
      if (readMapping(table.view, i, version, clusterBits).kind !== 'compressed')
        table.view.setUint8(8 * i, table.bytes[8 * i]! & 0x7f);
    }
    return table;
  }

  /** The L2 table at an index of L1, to be changed at once: made, or copied, if it has to be. */
  async function ownTable(index: number): Promise<Table> {
    const offset = entryOffset(l1, index);
    if (offset !== 0 && isOwned(l1, index)) return metadata.load(offset);
    const shared = offset !== 0 && (await refcounts.get(offset)) > 1;
    const from = offset === 0 ? undefined : await metadata.load(offset);
    if (offset !== 0 && !shared) {
      writeOwned(l1, index, offset);
      metadata.l1Changed(index);
      return from!;
    }
    const extent = await refcounts.allocate(1);
    const table = from === undefined ? metadata.create(extent.offset, 'l2') : copyTable(from, extent.offset);
    writeOwned(l1, index, extent.offset);
    metadata.l1Changed(index);
    if (from !== undefined) metadata.retire(offset, clusterSize);
    return table;
  }

  function retire(mapping: Mapping): void {
    if (mapping.kind === 'compressed') metadata.retire(mapping.host, Math.min(mapping.length, 2 * clusterSize));
    else if (mapping.kind !== 'none' && isDataPlace(mapping.host)) metadata.retire(mapping.host, clusterSize);
  }

  /** One change of L1 and L2 tables at a time. */
  async function change(
    first: number,
    count: number,
    set: (view: DataView, index: number, i: number) => void,
  ): Promise<void> {
    const table = await ownTable(Math.floor(first / l2Entries));
    const index = first % l2Entries;
    for (let i = 0; i < count; i++) {
      retire(readMapping(table.view, index + i, version, clusterBits));
      set(table.view, index + i, i);
    }
    metadata.changed(table, 'l2');
  }

  return {
    lookup,
    map: (first, count, host) =>
      change(first, count, (view, index, i) => writeOwned(view, index, host + i * clusterSize)),
    async unmap(first, count, zero) {
      if (!zero && entryOffset(l1, Math.floor(first / l2Entries)) === 0) return;
      await change(first, count, (view, index) => writeUnmapped(view, index, zero));
    },
    async prepare(cluster) {
      await ownTable(Math.floor(cluster / l2Entries));
    },
  };
}
