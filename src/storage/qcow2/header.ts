/** The header of a qcow2 image (QEMU, docs/interop/qcow2.txt): read from an untrusted file, every field checked. */
import { VirtsError } from '../../base/errors.ts';
import type { ByteFile } from '../byte-file.ts';

export const MAGIC = 0x514649fb;

/** Offsets of header fields, big-endian. */
export const AT = {
  magic: 0,
  version: 4,
  backingOffset: 8,
  backingSize: 16,
  clusterBits: 20,
  size: 24,
  encryption: 32,
  l1Size: 36,
  l1Offset: 40,
  refcountOffset: 48,
  refcountClusters: 56,
  snapshots: 60,
  snapshotsOffset: 64,
  incompatible: 72,
  compatible: 80,
  autoclear: 88,
  refcountOrder: 96,
  headerLength: 100,
  compression: 104,
} as const;

export const V2_LENGTH = 72;
export const V3_LENGTH = 104;

/** Incompatible feature bits. */
export const INCOMPATIBLE = { dirty: 1n, corrupt: 2n, dataFile: 4n, compression: 8n, extendedL2: 16n } as const;

export const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  encryption: 0x0537be77,
  dataFile: 0x44415441,
} as const;

/** Limits that QEMU sets too. Bytes. */
export const MAX_L1_BYTES = 32 * 2 ** 20;
export const MAX_REFCOUNT_TABLE_BYTES = 8 * 2 ** 20;
const MAX_BACKING_NAME = 1023;
const MAX_SNAPSHOTS = 65_536;

export interface Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly clusterSize: number;
  /** Entries of an L2 table. */
  readonly l2Entries: number;
  /** Bytes of the disk, as the header has it. */
  readonly size: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly refcountOffset: number;
  readonly refcountClusters: number;
  /** Bits of a refcount: 1 to 64. */
  readonly refcountBits: number;
  readonly snapshots: number;
  readonly snapshotsOffset: number;
  readonly compression: 'zlib' | 'zstd';
  readonly isDirty: boolean;
  readonly isCorrupt: boolean;
  readonly hasBitmaps: boolean;
  /** Whether any autoclear feature is set. */
  readonly autoclears: boolean;
  readonly lazyRefcounts: boolean;
  readonly incompatible: bigint;
  readonly backing: Backing | undefined;
}

export interface Backing {
  readonly name: string;
  readonly format: string | undefined;
}

export function damaged(file: ByteFile, what: string): VirtsError {
  const message = `${file.name} is not a usable qcow2 image: ${what}.`;
  return new VirtsError('bad-input', message, { path: file.name });
}

function unsupported(file: ByteFile, what: string): VirtsError {
  return new VirtsError('unsupported', `${file.name} ${what}.`, { path: file.name });
}

interface Extensions {
  readonly backingFormat: string | undefined;
  readonly bitmaps: boolean;
  /** Names that the image gives to features, by type and bit. */
  readonly names: ReadonlyMap<string, string>;
}

const ascii = (bytes: Uint8Array) => new TextDecoder('latin1').decode(bytes).replace(/\0.*$/s, '');
/** For messages: what an image calls something must not control a terminal. */
const printable = (text: string) => text.replaceAll(/[^\x20-\x7e]/g, '?');

function readExtensions(file: ByteFile, bytes: Uint8Array, start: number, end: number): Extensions {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const names = new Map<string, string>();
  let backingFormat: string | undefined;
  let bitmaps = false;
  for (let at = start; at + 8 <= end; ) {
    const type = view.getUint32(at);
    const length = view.getUint32(at + 4);
    if (type === EXTENSION.end) break;
    if (length > end - at - 8) throw damaged(file, 'a header extension is longer than its place');
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (type === EXTENSION.backingFormat) backingFormat = ascii(data);
    if (type === EXTENSION.bitmaps) bitmaps = true;
    if (type === EXTENSION.featureNames) {
      for (let i = 0; i + 48 <= length; i += 48)
        names.set(`${data[i]}:${data[i + 1]}`, ascii(data.subarray(i + 2, i + 48)));
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return { backingFormat, bitmaps, names };
}

/** A 64-bit field that must be an exact number. */
function u64(file: ByteFile, view: DataView, at: number, what: string): number {
  const value = view.getBigUint64(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged(file, `${what} is out of range`);
  return Number(value);
}

function checkFeatures(file: ByteFile, bits: bigint, names: ReadonlyMap<string, string>): void {
  if ((bits & INCOMPATIBLE.dataFile) !== 0n) {
    throw unsupported(file, 'keeps its data in another file, which is not supported; convert it with qemu-img convert');
  }
  if ((bits & INCOMPATIBLE.extendedL2) !== 0n) {
    throw unsupported(file, 'has extended L2 entries, which are not supported; convert it with qemu-img convert');
  }
  const known = INCOMPATIBLE.dirty | INCOMPATIBLE.corrupt | INCOMPATIBLE.compression;
  for (let bit = 0; bit < 64; bit++) {
    if (((bits & ~known) >> BigInt(bit)) % 2n === 0n) continue;
    const name = names.get(`0:${bit}`);
    const what = name === undefined ? `feature ${bit}` : `the feature "${printable(name)}"`;
    throw unsupported(file, `needs ${what}, which Virts does not know`);
  }
}

function checkTable(file: ByteFile, offset: number, bytes: number, clusterSize: number, what: string): void {
  const inside = offset >= clusterSize && offset % clusterSize === 0 && offset + bytes <= file.size;
  if (!inside) throw damaged(file, `${what} lies outside the file or is not aligned`);
}

function readBacking(
  file: ByteFile,
  bytes: Uint8Array,
  view: DataView,
  format: string | undefined,
): Backing | undefined {
  const offset = u64(file, view, AT.backingOffset, 'the place of the backing file name');
  if (offset === 0) return undefined;
  const length = view.getUint32(AT.backingSize);
  if (length === 0 || length > MAX_BACKING_NAME || offset + length > bytes.length) {
    throw damaged(file, 'the backing file name is too long or outside the header');
  }
  return { name: new TextDecoder().decode(bytes.subarray(offset, offset + length)), format };
}

/** Reads and checks the header. Throws VirtsError 'bad-input' or 'unsupported'. */
export async function readHeader(file: ByteFile): Promise<Header> {
  const start = new Uint8Array(112);
  await file.read(0, [start]);
  const first = new DataView(start.buffer);
  if (file.size < V2_LENGTH || first.getUint32(AT.magic) !== MAGIC) throw damaged(file, 'it does not begin as one');
  const version = first.getUint32(AT.version);
  if (version !== 2 && version !== 3)
    throw unsupported(file, `is a qcow image of version ${version}; only 2 and 3 are supported`);
  const clusterBits = first.getUint32(AT.clusterBits);
  if (clusterBits < 9 || clusterBits > 21) throw damaged(file, `a cluster has 2^${clusterBits} bytes`);
  const clusterSize = 2 ** clusterBits;
  const bytes = new Uint8Array(Math.min(clusterSize, 65_536));
  await file.read(0, [bytes]);
  const view = new DataView(bytes.buffer);

  const length = version === 2 ? V2_LENGTH : view.getUint32(AT.headerLength);
  const longest = Math.min(bytes.length, file.size);
  if (length < (version === 2 ? V2_LENGTH : V3_LENGTH) || length > longest || length % 8 !== 0) {
    throw damaged(file, 'its header has an impossible length');
  }
  const backingAt = u64(file, view, AT.backingOffset, 'the place of the backing file name');
  const extensions = readExtensions(
    file,
    bytes,
    length,
    backingAt > length && backingAt < longest ? backingAt : longest,
  );
  const incompatible = version === 2 ? 0n : view.getBigUint64(AT.incompatible);
  checkFeatures(file, incompatible, extensions.names);
  if (view.getUint32(AT.encryption) !== 0) {
    throw unsupported(file, 'is encrypted, which is not supported; decrypt it with qemu-img convert');
  }
  const compression = version === 3 && length > AT.compression ? view.getUint8(AT.compression) : 0;
  const named = (incompatible & INCOMPATIBLE.compression) !== 0n;
  if (compression > 1) throw unsupported(file, `is compressed by method ${compression}, which Virts does not know`);
  if (named !== (compression !== 0)) throw damaged(file, 'its header says two things about its compression');

  const order = version === 2 ? 4 : view.getUint32(AT.refcountOrder);
  if (order > 6) throw damaged(file, `a refcount has 2^${order} bits`);
  const l2Entries = clusterSize / 8;
  const size = u64(file, view, AT.size, 'the size of the disk');
  const l1Entries = view.getUint32(AT.l1Size);
  const l1Offset = u64(file, view, AT.l1Offset, 'the place of the L1 table');
  if (l1Entries * 8 > MAX_L1_BYTES) throw damaged(file, 'the L1 table is too large');
  if (size > l1Entries * l2Entries * clusterSize) throw damaged(file, 'the L1 table is too small for the disk');
  if (l1Entries > 0) checkTable(file, l1Offset, l1Entries * 8, clusterSize, 'the L1 table');
  const refcountOffset = u64(file, view, AT.refcountOffset, 'the place of the refcount table');
  const refcountClusters = view.getUint32(AT.refcountClusters);
  if (refcountClusters === 0 || refcountClusters * clusterSize > MAX_REFCOUNT_TABLE_BYTES) {
    throw damaged(file, 'the refcount table has an impossible size');
  }
  checkTable(file, refcountOffset, refcountClusters * clusterSize, clusterSize, 'the refcount table');
  const snapshots = view.getUint32(AT.snapshots);
  const snapshotsOffset = u64(file, view, AT.snapshotsOffset, 'the place of the snapshot table');
  if (snapshots > MAX_SNAPSHOTS) throw damaged(file, 'it has too many snapshots');
  if (snapshots > 0) checkTable(file, snapshotsOffset, snapshots * 40, clusterSize, 'the snapshot table');
  return {
    version,
    clusterBits,
    clusterSize,
    l2Entries,
    size,
    l1Entries,
    l1Offset,
    refcountOffset,
    refcountClusters,
    refcountBits: 2 ** order,
    snapshots,
    snapshotsOffset,
    compression: compression === 1 ? 'zstd' : 'zlib',
    isDirty: (incompatible & INCOMPATIBLE.dirty) !== 0n,
    isCorrupt: (incompatible & INCOMPATIBLE.corrupt) !== 0n,
    hasBitmaps: extensions.bitmaps,
    autoclears: version === 3 && view.getBigUint64(AT.autoclear) !== 0n,
    lazyRefcounts: version === 3 && (view.getBigUint64(AT.compatible) & 1n) !== 0n,
    incompatible,
    backing: readBacking(file, bytes, view, extensions.backingFormat),
  };
}
