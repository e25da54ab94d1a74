/**
 * An ISO 9660 file system (ECMA-119) with Rock Ridge names (IEEE P1282 draft) and one directory, over files that stay where they
 * are: a disk by which a guest is given files.
 */
import { VirtsError } from '../base/errors.ts';
import { type BlockDevice, SECTOR } from './block-device.ts';
import { type ByteFile, type Bytes, byteLength, slice } from './byte-file.ts';

export interface IsoFile {
  /** Up to 64 printable ASCII characters, without a slash. */
  readonly name: string;
  readonly content: Pick<ByteFile, 'size' | 'read'>;
}

/** Bytes of a logical block (ECMA-119 6.2.2). */
const BLOCK = 2048;
/** Blocks before the first descriptor: the system area (6.2.1). */
const SYSTEM_AREA = 16;
const MAX_FILE = 2 ** 32 - 1;
/** So many that their identifiers are in order by number. */
const MAX_FILES = 10_000;

const blocksOf = (bytes: number): number => Math.ceil(bytes / BLOCK);

/** Both byte orders, little-endian first (7.2.3, 7.3.3). */
function putBoth16(view: DataView, at: number, value: number): void {
  view.setUint16(at, value, true);
  view.setUint16(at + 2, value);
}

function putBoth32(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true);
  view.setUint32(at + 4, value);
}

function ascii(text: string, length: number): Uint8Array {
  return new TextEncoder().encode(text.padEnd(length).slice(0, length));
}

/** A system use entry (SUSP 5): a signature, a length, a version, and its payload. */
function useEntry(signature: string, payload: Uint8Array | readonly number[]): Uint8Array {
  return Uint8Array.from([...ascii(signature, 2), 4 + payload.length, 1, ...payload]);
}

/** Mode and links; owner and group are root (RRIP 4.1.1). */
function posixEntry(mode: number, links: number): Uint8Array {
  const payload = new Uint8Array(32);
  const view = new DataView(payload.buffer);
  putBoth32(view, 0, mode);
  putBoth32(view, 8, links);
  return useEntry('PX', payload);
}

const DIRECTORY_USE = [posixEntry(0o040555, 2)];
const EXTENSION = 'RRIP_1991A';
/** The root says that there are such entries, and which (SUSP 5.3, 5.5). */
const ROOT_USE = [
  useEntry('SP', [0xbe, 0xef, 0]),
  ...DIRECTORY_USE,
  useEntry('ER', [EXTENSION.length, 0, 0, 1, ...ascii(EXTENSION, EXTENSION.length)]),
];
const fileUse = (name: string) => [posixEntry(0o100444, 1), useEntry('NM', [0, ...ascii(name, name.length)])];

interface RecordOf {
  /** `\0` is the directory itself, `\1` the one above. */
  readonly identifier: string;
  readonly block: number;
  /** Bytes. */
  readonly size: number;
  readonly isDirectory: boolean;
  readonly use?: readonly Uint8Array[];
}

/** A directory record (9.1). */
function directoryRecord({ identifier, block, size, isDirectory, use = [] }: RecordOf): Uint8Array {
  const start = 33 + identifier.length + (identifier.length % 2 === 0 ? 1 : 0);
  const end = use.reduce((sum, entry) => sum + entry.length, start);
  const length = end + (end % 2);
  const record = new Uint8Array(length);
  const view = new DataView(record.buffer);
  record[0] = length;
  putBoth32(view, 2, block);
  putBoth32(view, 10, size);
  // 1970-01-01: years since 1900, month, day.
  record.set([70, 1, 1], 18);
  record[25] = isDirectory ? 2 : 0;
  putBoth16(view, 28, 1);
  record[32] = identifier.length;
  record.set(ascii(identifier, identifier.length), 33);
  let at = start;
  for (const entry of use) {
    record.set(entry, at);
    at += entry.length;
  }
  return record;
}

/** The records of a directory; none crosses the end of a block (6.8.1.1). */
function directoryBlocks(records: readonly Uint8Array[]): Uint8Array {
  const places: number[] = [];
  let at = 0;
  for (const { length } of records) {
    if ((at % BLOCK) + length > BLOCK) at = blocksOf(at) * BLOCK;
    places.push(at);
    at += length;
  }
  const bytes = new Uint8Array(blocksOf(at) * BLOCK);
  for (const [index, record] of records.entries()) bytes.set(record, places[index]!);
  return bytes;
}

/** The only record of a path table: the root directory (9.4). */
function pathTable(root: number, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  view.setUint32(2, root, littleEndian);
  view.setUint16(6, 1, littleEndian);
  return bytes;
}
const PATH_TABLE_SIZE = 10;

/** The primary volume descriptor (8.4). */
function primaryDescriptor(label: string, blocks: number, root: Uint8Array, tables: readonly [number, number]) {
  const bytes = new Uint8Array(BLOCK);
  const view = new DataView(bytes.buffer);
  bytes.set([1, ...ascii('CD001', 5), 1]);
  bytes.set(ascii('', 32), 8);
  bytes.set(ascii(label, 32), 40);
  putBoth32(view, 80, blocks);
  putBoth16(view, 120, 1);
  putBoth16(view, 124, 1);
  putBoth16(view, 128, BLOCK);
  putBoth32(view, 132, PATH_TABLE_SIZE);
  view.setUint32(140, tables[0], true);
  view.setUint32(148, tables[1]);
  bytes.set(root, 156);
  bytes.set(ascii('', 623), 190);
  // Four dates that are not given, then the version of the structure.
  for (const at of [813, 830, 847, 864]) bytes.set(ascii('0'.repeat(16), 16), at);
  bytes[881] = 1;
  return bytes;
}

function terminator(): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  bytes.set([255, ...ascii('CD001', 5), 1]);
  return bytes;
}

function inMemory(bytes: Uint8Array): IsoFile['content'] {
  return {
    size: bytes.length,
    async read(position, into) {
      let at = position;
      for (const piece of into) {
        const part = bytes.subarray(at, at + piece.length);
        piece.set(part);
        piece.fill(0, part.length);
        at += piece.length;
      }
    },
  };
}

interface Extent {
  /** Bytes. */
  readonly start: number;
  readonly content: IsoFile['content'];
}

function checkFile({ name, content }: IsoFile): void {
  if (!/^[\x21-\x2e\x30-\x7e]{1,64}$/.test(name)) {
    throw new VirtsError('internal', `'${name}' cannot be the name of a file on an ISO disk.`);
  }
  if (content.size > MAX_FILE) throw new VirtsError('no-space', `${name} is too large for an ISO disk (4 GiB).`);
}

/** Where everything is. */
function layOut(label: string, files: readonly IsoFile[]): { extents: Extent[]; size: number } {
  files.forEach(checkFile);
  if (files.length > MAX_FILES) throw new VirtsError('internal', 'An ISO disk has too many files.');
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const [littleTable, bigTable, root] = [SYSTEM_AREA + 2, SYSTEM_AREA + 3, SYSTEM_AREA + 4];
  // How long the directory is does not depend on what it says.
  const recordsFrom = (first: number, size: number): Uint8Array[] => {
    let block = first;
    return [
      directoryRecord({ identifier: '\0', block: root, size, isDirectory: true, use: ROOT_USE }),
      directoryRecord({ identifier: '\x01', block: root, size, isDirectory: true, use: DIRECTORY_USE }),
      ...sorted.map(({ name, content }, i) => {
        // What a reader without Rock Ridge sees.
        const identifier = `FILE${String(i).padStart(4, '0')}.;1`;
        const use = fileUse(name);
        const record = directoryRecord({ identifier, block, size: content.size, isDirectory: false, use });
        block += blocksOf(content.size);
        return record;
      }),
    ];
  };
  const { length } = directoryBlocks(recordsFrom(0, 0));
  const first = root + length / BLOCK;
  const records = recordsFrom(first, length);
  const blocks = sorted.reduce((sum, { content }) => sum + blocksOf(content.size), first);
  const descriptorRoot = directoryRecord({ identifier: '\0', block: root, size: length, isDirectory: true });
  const head: [number, Uint8Array][] = [
    [SYSTEM_AREA, primaryDescriptor(label, blocks, descriptorRoot, [littleTable, bigTable])],
    [SYSTEM_AREA + 1, terminator()],
    [littleTable, pathTable(root, true)],
    [bigTable, pathTable(root, false)],
    [root, directoryBlocks(records)],
  ];
  const extents = head.map(([block, bytes]): Extent => ({ start: block * BLOCK, content: inMemory(bytes) }));
  let at = first * BLOCK;
  for (const { content } of sorted) {
    extents.push({ start: at, content });
    at += blocksOf(content.size) * BLOCK;
  }
  return { extents, size: blocks * BLOCK };
}

/**
 * A read-only disk with these files. They stay open as long as it is used; whoever opened them closes them.
 * @param label the volume's name, up to 32 characters.
 * @throws VirtsError `no-space` for a file of more than 4 GiB.
 */
export function isoDisk(label: string, files: readonly IsoFile[]): BlockDevice {
  const { extents, size } = layOut(label, files);

  /** The last extent that begins at or before a position; -1 before the first. */
  function find(position: number): number {
    let [low, high] = [0, extents.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (extents[middle]!.start <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  async function read(position: number, into: Bytes): Promise<void> {
    const total = byteLength(into);
    for (let done = 0; done < total; ) {
      const at = position + done;
      const index = find(at);
      const next = extents[index + 1]?.start ?? Number.POSITIVE_INFINITY;
      const extent = extents[index];
      const end = extent === undefined ? at : extent.start + extent.content.size;
      // Up to the end of the file, or of the gap behind it.
      const length = Math.min(total - done, (at < end ? end : next) - at);
      const pieces = slice(into, done, length);
      if (at < end) await extent!.content.read(at - extent!.start, pieces);
      else for (const piece of pieces) piece.fill(0);
      done += length;
    }
  }

  const refuse = async (): Promise<never> => {
    throw new VirtsError('io', 'This disk is read-only.');
  };
  return {
    size,
    readOnly: true,
    granularity: SECTOR,
    read,
    write: refuse,
    writeZeroes: refuse,
    discard: refuse,
    flush: async () => {},
    close: async () => {},
  };
}

/** A file of an ISO disk whose content is in memory. */
export function isoText(name: string, content: string | Uint8Array): IsoFile {
  return { name, content: inMemory(typeof content === 'string' ? new TextEncoder().encode(content) : content) };
}
