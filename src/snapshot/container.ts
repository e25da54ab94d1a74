/**
 * The snapshot container: a header that can be read alone, then named sections. Each section has a version of its own
 * and a checksum; nothing is used before all that is needed was checked.
 *
 * Layout, little-endian: 8 bytes magic, u32 container version, u32 length of the index, u32 CRC-32 of the index, the index
 * as JSON, then the sections' bytes one after another.
 */

import { VirtsError } from '../base/errors.ts';
import { crc32 } from './crc32.ts';

const MAGIC = 'VIRTSNAP';
const VERSION = 1;
const HEADER_SIZE = 20;

export interface Section {
  readonly name: string;
  readonly version: number;
  readonly bytes: Uint8Array;
}

interface IndexEntry {
  readonly name: string;
  readonly version: number;
  readonly length: number;
  readonly crc: number;
}

function bad(reason: string): VirtsError {
  return new VirtsError('bad-input', `This is no usable snapshot: ${reason}.`);
}

/** Packs sections into one container. */
export function writeContainer(sections: readonly Section[]): Uint8Array {
  const index: IndexEntry[] = sections.map(({ name, version, bytes }) => ({
    name,
    version,
    length: bytes.length,
    crc: crc32(bytes),
  }));
  const text = new TextEncoder().encode(JSON.stringify(index));
  const total = sections.reduce((sum, s) => sum + s.bytes.length, HEADER_SIZE + text.length);
  const out = new Uint8Array(total);
  const view = new DataView(out.buffer);
  out.set(new TextEncoder().encode(MAGIC));
  view.setUint32(8, VERSION, true);
  view.setUint32(12, text.length, true);
  view.setUint32(16, crc32(text), true);
  out.set(text, HEADER_SIZE);
  let at = HEADER_SIZE + text.length;
  for (const { bytes } of sections) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

function readIndex(bytes: Uint8Array): { index: readonly IndexEntry[]; start: number } {
  if (bytes.length < HEADER_SIZE) throw bad('it is too short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (new TextDecoder('latin1').decode(bytes.subarray(0, 8)) !== MAGIC) throw bad('it does not begin as one');
  const version = view.getUint32(8, true);
  if (version !== VERSION) throw bad(`its format is version ${version}, known is ${VERSION}`);
  const length = view.getUint32(12, true);
  const text = bytes.subarray(HEADER_SIZE, HEADER_SIZE + length);
  if (text.length !== length || crc32(text) !== view.getUint32(16, true)) throw bad('its index is damaged');
  return { index: JSON.parse(new TextDecoder().decode(text)) as IndexEntry[], start: HEADER_SIZE + length };
}

/** Unpacks a container. @throws VirtsError `bad-input` where it is cut short, damaged or of another format. */
export function readContainer(bytes: Uint8Array): Section[] {
  const { index, start } = readIndex(bytes);
  let at = start;
  return index.map(({ name, version, length, crc }) => {
    const part = bytes.subarray(at, at + length);
    if (part.length !== length) throw bad(`it ends inside section ${name}`);
    if (crc32(part) !== crc) throw bad(`section ${name} is damaged`);
    at += length;
    return { name, version, bytes: part };
  });
}

/** The section of that name and version. @throws VirtsError `bad-input` where there is none. */
export function findSection(sections: readonly Section[], name: string, version: number): Uint8Array {
  const section = sections.find((s) => s.name === name);
  if (section === undefined) throw bad(`section ${name} is missing`);
  if (section.version !== version) throw bad(`section ${name} has version ${section.version}, known is ${version}`);
  return section.bytes;
}
