/** What is read of a qcow2 image as it is opened, and what is put right before it is written to. */
import { VirtsError } from '../../base/errors.ts';
import type { ByteFile } from '../byte-file.ts';
import { AT, damaged, type Header, INCOMPATIBLE } from './header.ts';
import type { Metadata } from './metadata.ts';
import type { Extent, Refcounts } from './refcounts.ts';
import { repairRefcounts } from './repair.ts';

/** The L1 table as it is in the file. */
export async function readL1(file: ByteFile, { l1Entries, l1Offset }: Header): Promise<Uint8Array> {
  const bytes = new Uint8Array(l1Entries * 8);
  await file.read(l1Offset, [bytes]);
  return bytes;
}

/** Offsets of refcount blocks. Rejects with 'bad-input' for what cannot be. */
export async function readRefcountTable(file: ByteFile, header: Header): Promise<number[]> {
  const bytes = new Uint8Array(header.refcountClusters * header.clusterSize);
  await file.read(header.refcountOffset, [bytes]);
  const view = new DataView(bytes.buffer);
  const seen = new Set<number>();
  return Array.from({ length: bytes.length / 8 }, (_, i) => {
    const offset = view.getUint32(8 * i) * 2 ** 32 + view.getUint32(8 * i + 4);
    if (offset % header.clusterSize !== 0 || offset >= file.size) {
      throw damaged(file, 'a refcount block lies outside the file or is not aligned');
    }
    // A search for free clusters must not take longer than the file is long.
    if (offset !== 0 && seen.has(offset)) throw damaged(file, 'a refcount block is used twice');
    seen.add(offset);
    return offset;
  });
}

/** Refuses an image whose refcounts would let its own tables be overwritten. */
async function checkOwnClusters(
  file: ByteFile,
  header: Header,
  metadata: Metadata,
  refcounts: Refcounts,
): Promise<void> {
  const { clusterSize, l1Offset, l1Entries, refcountOffset, refcountClusters } = header;
  const own: Extent[] = [
    { offset: 0, length: clusterSize },
    { offset: l1Offset, length: l1Entries * 8 },
    { offset: refcountOffset, length: refcountClusters * clusterSize },
    ...metadata.refcountTable.filter((offset) => offset !== 0).map((offset) => ({ offset, length: clusterSize })),
  ];
  for (const { offset, length } of own) {
    for (let at = offset; at < offset + length; at += clusterSize) {
      if ((await refcounts.get(at)) > 0) continue;
      throw damaged(file, 'its refcounts are wrong; repair it with qemu-img check -r all');
    }
  }
}

/** Sets a 64-bit field of the header. */
async function writeField(file: ByteFile, at: number, value: bigint): Promise<void> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  await file.write(at, [bytes]);
  await file.sync();
}

/** Makes an image ready to be written to, repairs it if it was not closed. Rejects with 'bad-input' where that cannot be. */
export async function prepareForWriting(
  file: ByteFile,
  header: Header,
  metadata: Metadata,
  refcounts: Refcounts,
): Promise<void> {
  if (header.isCorrupt) {
    const message = `${file.name} is marked as corrupt; repair it with qemu-img check -r all, or use readonly.`;
    throw new VirtsError('bad-input', message, { path: file.name });
  }
  if (header.isDirty) {
    await repairRefcounts(file, header, metadata, refcounts);
    await metadata.flush();
    await writeField(file, AT.incompatible, header.incompatible & ~INCOMPATIBLE.dirty);
  }
  await checkOwnClusters(file, header, metadata, refcounts);
  // Whoever does not know what these stand for has to say that it may no longer be true.
  if (header.autoclears) await writeField(file, AT.autoclear, 0n);
}
