/** Guest RAM as a snapshot section: the numbers of the pages that were ever written, then their contents. */
import { VirtsError } from '../base/errors.ts';
import { readGuest, writeGuest } from '../memory/guest-memory.ts';
import { PAGE_SIZE } from '../memory/layout.ts';
import { PAGE_STATE, type PhysicalMap, STATE_MASK } from '../memory/physical-map.ts';

export const MEMORY_SECTION = { name: 'memory', version: 1 } as const;

/** Layout: u32 pages of RAM, u32 count, count x u32 page numbers, count x 4096 bytes. */
export function saveMemory(map: PhysicalMap): Uint8Array {
  const pages: number[] = [];
  for (let page = 0; page < map.pages; page++) {
    if ((map.entry(page) & STATE_MASK) > PAGE_STATE.zero) pages.push(page);
  }
  const out = new Uint8Array(8 + pages.length * (4 + PAGE_SIZE));
  const view = new DataView(out.buffer);
  view.setUint32(0, map.pages, true);
  view.setUint32(4, pages.length, true);
  const contents = 8 + pages.length * 4;
  pages.forEach((page, i) => {
    view.setUint32(8 + i * 4, page, true);
    out.set(readGuest(map, page * PAGE_SIZE, PAGE_SIZE) as Uint8Array, contents + i * PAGE_SIZE);
  });
  return out;
}

/** Fills a map whose pages are all zero. @throws VirtsError `bad-input` where the section does not fit the map. */
export function restoreMemory(map: PhysicalMap, bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bad = (reason: string) => new VirtsError('bad-input', `The memory in this snapshot is unusable: ${reason}.`);
  if (bytes.length < 8) throw bad('it is cut short');
  const count = view.getUint32(4, true);
  if (view.getUint32(0, true) !== map.pages) throw bad('it is of another size');
  if (bytes.length !== 8 + count * (4 + PAGE_SIZE)) throw bad('it is cut short');
  const contents = 8 + count * 4;
  for (let i = 0; i < count; i++) {
    const page = view.getUint32(8 + i * 4, true);
    const from = contents + i * PAGE_SIZE;
    if (!writeGuest(map, page * PAGE_SIZE, bytes.subarray(from, from + PAGE_SIZE))) throw bad('a page is outside RAM');
  }
}
