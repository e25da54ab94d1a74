/** Makes empty qcow2 images, version 3 with 64 KiB clusters and 16-bit refcounts. */
import type { ByteFile } from '../byte-file.ts';
import { AT, type Backing, EXTENSION, MAGIC, V3_LENGTH } from './header.ts';

const CLUSTER_BITS = 16;
const CLUSTER = 2 ** CLUSTER_BITS;

/** Names of the feature bits, so that other programs can say what they lack. Type, bit, name. */
const FEATURE_NAMES = [
  [0, 0, 'dirty bit'],
  [0, 1, 'corrupt bit'],
  [0, 2, 'external data file'],
  [0, 3, 'compression type'],
  [0, 4, 'extended L2 entries'],
  [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'],
] as const;

function extension(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + Math.ceil(data.length / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type);
  view.setUint32(4, data.length);
  bytes.set(data, 8);
  return bytes;
}

function featureNames(): Uint8Array {
  const data = new Uint8Array(48 * FEATURE_NAMES.length);
  for (const [i, [type, bit, name]] of FEATURE_NAMES.entries()) {
    data.set([type, bit, ...new TextEncoder().encode(name)], 48 * i);
  }
  return extension(EXTENSION.featureNames, data);
}

/**
 * Writes an empty image of `size` bytes, a multiple of 512, to an empty file: header, refcount table, refcount block and L1 table,
 * in this order. `backing`: what shows through.
 */
export async function createQcow2(file: ByteFile, size: number, backing?: Backing): Promise<void> {
  const l1Entries = Math.ceil(size / (CLUSTER * (CLUSTER / 8)));
  const l1Clusters = Math.max(1, Math.ceil((l1Entries * 8) / CLUSTER));
  const [refcountTable, refcountBlock, l1] = [CLUSTER, 2 * CLUSTER, 3 * CLUSTER];
  const extensions = [
    ...(backing?.format === undefined
      ? []
      : [extension(EXTENSION.backingFormat, new TextEncoder().encode(backing.format))]),
    featureNames(),
    extension(EXTENSION.end, new Uint8Array()),
  ];
  const name = new TextEncoder().encode(backing?.name ?? '');
  const header = new Uint8Array(CLUSTER);
  const view = new DataView(header.buffer);
  let at = V3_LENGTH + 8;
  for (const bytes of extensions) {
    header.set(bytes, at);
    at += bytes.length;
  }
  if (backing !== undefined) {
    header.set(name, at);
    view.setBigUint64(AT.backingOffset, BigInt(at));
    view.setUint32(AT.backingSize, name.length);
  }
  view.setUint32(AT.magic, MAGIC);
  view.setUint32(AT.version, 3);
  view.setUint32(AT.clusterBits, CLUSTER_BITS);
  view.setBigUint64(AT.size, BigInt(size));
  view.setUint32(AT.l1Size, l1Entries);
  view.setBigUint64(AT.l1Offset, BigInt(l1));
  view.setBigUint64(AT.refcountOffset, BigInt(refcountTable));
  view.setUint32(AT.refcountClusters, 1);
  view.setUint32(AT.refcountOrder, 4);
  view.setUint32(AT.headerLength, V3_LENGTH + 8);

  const table = new Uint8Array(CLUSTER);
  new DataView(table.buffer).setBigUint64(0, BigInt(refcountBlock));
  const block = new Uint8Array(CLUSTER);
  for (let cluster = 0; cluster < 3 + l1Clusters; cluster++) new DataView(block.buffer).setUint16(2 * cluster, 1);
  await file.write(refcountTable, [table, block, new Uint8Array(l1Clusters * CLUSTER)]);
  await file.sync();
  // The header comes last: a file without one is no image.
  await file.write(0, [header]);
  await file.sync();
}
