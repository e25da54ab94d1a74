/**
 * Writes a small ISO 9660 volume with Rock Ridge names (ECMA-119, IEEE P1282 draft): a few files at its root. The same input gives the
 * same bytes.
 */
import { VirtsError } from '../../base/errors.ts';

export interface VolumeFile {
  /** Up to 64 printable ASCII characters, without a slash. */
  readonly name: string;
  readonly content: Uint8Array;
}

const SECTOR = 2048;
/** Sectors: sixteen that are the system's, volume descriptors, two path tables, the root; then the files. */
const AT = { primary: 16, terminator: 17, littlePath: 18, bigPath: 19, root: 20 } as const;
const MOST_NAME = 64;
/** Up to 1 GiB in all: far more than what a seed holds, far less than what a field can say. */
const MOST_BYTES = 2 ** 30;

const encoder = new TextEncoder();
const sectors = (bytes: number) => Math.ceil(bytes / SECTOR);

/** Numbers in both byte orders, as the standard has them (ECMA-119 7.2.3, 7.3.3). */
function both16(value: number): number[] {
  return [value & 255, value >> 8, value >> 8, value & 255];
}
function little32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);
}
function both32(value: number): number[] {
  return [...little32(value), ...little32(value).toReversed()];
}

/** Text of a fixed length, filled with spaces. */
function padded(text: string, length: number): number[] {
  return [...encoder.encode(text.padEnd(length, ' '))];
}

/** 1970-01-01 in the short and in the long form. */
const SHORT_DATE = [70, 1, 1, 0, 0, 0, 0];
const LONG_DATE = [...encoder.encode('1970010100000000'), 0];
const NO_DATE = [...encoder.encode('0'.repeat(16)), 0];

/** System use entries (SUSP 5, RRIP 4.1): a signature, a length, a version and a payload. */
const use = (signature: string, ...payload: readonly number[]): number[] => {
  return [...encoder.encode(signature), 4 + payload.length, 1, ...payload];
};
/** Mode, links, user and group; and the name. */
const posix = (mode: number, links: number) => use('PX', ...both32(mode), ...both32(links), ...both32(0), ...both32(0));
const alternate = (name: string) => use('NM', 0, ...encoder.encode(name));
/** At the root's own record: that there are such entries, and which. */
const IS_USED = use('SP', 0xbe, 0xef, 0);
const EXTENSION = encoder.encode('RRIP_1991A');
const IS_ROCK_RIDGE = use('ER', EXTENSION.length, 0, 0, 1, ...EXTENSION);

/** A directory record (ECMA-119 9.1). */
function record(
  identifier: readonly number[],
  sector: number,
  length: number,
  flags: number,
  system: readonly number[],
): number[] {
  const name = identifier.length % 2 === 0 ? [...identifier, 0] : identifier;
  const head = [...both32(sector), ...both32(length), ...SHORT_DATE, flags, 0, 0, ...both16(1), identifier.length];
  const body = [0, ...head, ...name, ...system];
  const whole = [body.length + 1, ...body];
  return whole.length % 2 === 0 ? whole : [whole.length + 1, ...body, 0];
}

const DIRECTORY = 2;
const MODE = { directory: 0o040555, file: 0o100444 } as const;

interface Placed extends VolumeFile {
  readonly sector: number;
}

function rootDirectory(files: readonly Placed[], length: number): Uint8Array {
  const own = [...IS_USED, ...posix(MODE.directory, 2), ...IS_ROCK_RIDGE];
  const records = [
    record([0], AT.root, length, DIRECTORY, own),
    record([1], AT.root, length, DIRECTORY, posix(MODE.directory, 2)),
    ...files.map(({ name, content, sector }, i) => {
      // What a reader without Rock Ridge sees; it has to be in order.
      const plain = encoder.encode(`FILE${String(i).padStart(4, '0')}.;1`);
      return record([...plain], sector, content.length, 0, [...posix(MODE.file, 1), ...alternate(name)]);
    }),
  ];
  const bytes: number[] = [];
  for (const one of records) {
    // No record lies across the end of a sector.
    while ((bytes.length % SECTOR) + one.length > SECTOR) bytes.push(0);
    bytes.push(...one);
  }
  return Uint8Array.from(bytes);
}

function primaryDescriptor(label: string, total: number, rootLength: number): number[] {
  const pathTable = [
    ...both32(10),
    ...little32(AT.littlePath),
    ...little32(0),
    ...little32(AT.bigPath).toReversed(),
    ...little32(0),
  ];
  return [
    ...[1, ...encoder.encode('CD001'), 1, 0],
    ...padded('', 32),
    ...padded(label, 32),
    ...new Array<number>(8).fill(0),
    ...both32(total),
    ...new Array<number>(32).fill(0),
    ...[...both16(1), ...both16(1), ...both16(SECTOR)],
    ...pathTable,
    ...record([0], AT.root, rootLength, DIRECTORY, []),
    // Volume set, publisher, preparer and application; copyright, abstract and bibliography.
    ...padded('', 4 * 128 + 3 * 37),
    ...[...LONG_DATE, ...LONG_DATE, ...NO_DATE, ...NO_DATE, 1],
  ];
}

function check(label: string, files: readonly VolumeFile[]): void {
  const isName = ({ name }: VolumeFile) => /^[\x21-\x2e\x30-\x7e]+$/.test(name) && name.length <= MOST_NAME;
  const total = files.reduce((sum, { content }) => sum + content.length, 0);
  const isSound =
    files.length <= 1000 && files.every(isName) && /^[\x20-\x7e]{1,32}$/.test(label) && total <= MOST_BYTES;
  if (!isSound) throw new VirtsError('internal', 'A volume has files or a label that it cannot have.', { label });
}

/** A volume with these files. */
export function writeIso9660(label: string, files: readonly VolumeFile[]): Uint8Array<ArrayBuffer> {
  check(label, files);
  // How long the root is follows from the names alone.
  const rootLength =
    sectors(
      rootDirectory(
        files.map((file) => ({ ...file, sector: 0 })),
        0,
      ).length,
    ) * SECTOR;
  let next = AT.root + sectors(rootLength);
  const placed = files.map((file): Placed => {
    const sector = next;
    next += sectors(file.content.length);
    return { ...file, sector };
  });
  const volume = new Uint8Array(next * SECTOR);
  const put = (sector: number, bytes: ArrayLike<number>) => volume.set(bytes, sector * SECTOR);
  put(AT.primary, primaryDescriptor(label, next, rootLength));
  put(AT.terminator, [255, ...encoder.encode('CD001'), 1]);
  put(AT.littlePath, [1, 0, ...little32(AT.root), 1, 0, 0, 0]);
  put(AT.bigPath, [1, 0, ...little32(AT.root).toReversed(), 0, 1, 0, 0]);
  put(AT.root, rootDirectory(placed, rootLength));
  for (const { sector, content } of placed) put(sector, content);
  return volume;
}
