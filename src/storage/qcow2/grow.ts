/** Makes the disk in a qcow2 image larger. What is killed meanwhile leaves the disk as it was, or as it is to be. */
import { VirtsError } from '../../base/errors.ts';
import type { ByteFile } from '../byte-file.ts';
import { AT, type Header, MAX_L1_BYTES } from './header.ts';
import { createMetadata } from './metadata.ts';
import { prepareForWriting, readL1, readRefcountTable } from './prepare.ts';
import { createRefcounts, type Extent, type Refcounts } from './refcounts.ts';

/** Clusters in a row for `length` bytes. */
async function allocateRow(refcounts: Refcounts, length: number, clusterSize: number): Promise<number> {
  const count = Math.ceil(length / clusterSize);
  const tooShort: { offset: number; length: number }[] = [];
  for (;;) {
    const extent = await refcounts.allocate(count);
    if (extent.length === count * clusterSize) {
      await refcounts.release(tooShort);
      return extent.offset;
    }
    tooShort.push(extent);
  }
}

/** Lets the header tell of another size and L1 table. All of it lies in one sector. */
async function writeHeaderFields(file: ByteFile, size: number, l1Entries: number, l1Offset: number): Promise<void> {
  const fields = new Uint8Array(AT.refcountOffset - AT.size);
  const view = new DataView(fields.buffer);
  view.setBigUint64(0, BigInt(size));
  view.setUint32(AT.l1Size - AT.size, l1Entries);
  view.setBigUint64(AT.l1Offset - AT.size, BigInt(l1Offset));
  await file.write(AT.size, [fields]);
  await file.sync();
}

/**
 * @param size bytes, a multiple of 512, more than there are. Nothing else may use the disk.
 * @throws VirtsError 'unsupported' for more than clusters so small can address; 'bad-input', 'io', 'no-space'.
 */
export async function growQcow2(file: ByteFile, header: Header, size: number): Promise<void> {
  const { clusterSize, l2Entries, l1Offset, l1Entries } = header;
  const entries = Math.ceil(size / (clusterSize * l2Entries));
  if (entries * 8 > MAX_L1_BYTES) {
    const message = `${file.name} cannot become so large: its clusters are too small; convert it with qemu-img convert.`;
    throw new VirtsError('unsupported', message, { path: file.name, size });
  }
  const retired: Extent[] = [];
  const l1 = await readL1(file, header);
  const refcountTable = await readRefcountTable(file, header);
  const metadata = createMetadata({ file, header, l1, refcountTable, retired: (extents) => retired.push(...extents) });
  const refcounts = createRefcounts(file, header, metadata);
  await prepareForWriting(file, header, metadata, refcounts);

  const room = Math.ceil((l1Entries * 8) / clusterSize) * clusterSize;
  if (entries * 8 <= room) {
    // What is behind a table in its last cluster may be anything.
    if (entries > l1Entries) await file.write(l1Offset + 8 * l1Entries, [new Uint8Array(8 * (entries - l1Entries))]);
    await file.sync();
    await writeHeaderFields(file, size, Math.max(entries, l1Entries), l1Offset);
    return;
  }
  const place = await allocateRow(refcounts, entries * 8, clusterSize);
  const table = new Uint8Array(Math.ceil((entries * 8) / clusterSize) * clusterSize);
  table.set(l1);
  await file.write(place, [table]);
  // Repairs may have changed L1, which a flush writes to its old place.
  await metadata.flush();
  await writeHeaderFields(file, size, entries, place);
  await refcounts.release([{ offset: l1Offset, length: l1Entries * 8 }, ...retired]);
  await metadata.flush();
}
