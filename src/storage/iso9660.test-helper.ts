/** Reads ISO 9660 volumes. */
import assert from 'node:assert/strict';
import type { BlockDevice } from './block-device.ts';

export async function wholeDisk(disk: BlockDevice): Promise<Buffer> {
  const bytes = Buffer.alloc(disk.size, 0xee);
  await disk.read(0, [bytes]);
  return bytes;
}

/** The files of a volume by their Rock Ridge names, read as the standards describe it. */
export function readVolume(volume: Buffer): { label: string; files: Map<string, Buffer> } {
  const view = new DataView(volume.buffer, volume.byteOffset, volume.length);
  const text = (at: number, length: number) => volume.toString('latin1', at, at + length);
  const descriptor = 16 * 2048;
  assert.equal(text(descriptor, 7), '\x01CD001\x01');
  assert.equal(text(descriptor + 2048, 6), '\xffCD001');
  assert.equal(view.getUint32(descriptor + 80, true) * 2048, volume.length);
  assert.equal(view.getUint16(descriptor + 128, true), 2048);
  const [root, length] = [156 + 2, 156 + 10].map((at) => view.getUint32(descriptor + at, true));
  const table = view.getUint32(descriptor + 140, true) * 2048;
  assert.equal(view.getUint32(table + 2, true), root);
  assert.equal(view.getUint32(view.getUint32(descriptor + 148, false) * 2048 + 2, false), root);
  const files = new Map<string, Buffer>();
  let plain = '';
  for (let at = root! * 2048, index = 0; at < root! * 2048 + length!; index++) {
    const size = volume[at]!;
    if (size === 0) {
      at = (Math.floor(at / 2048) + 1) * 2048;
      index--;
      continue;
    }
    assert.equal(size % 2, 0);
    assert.equal(view.getUint32(at + 2, true), view.getUint32(at + 6, false));
    const identifier = text(at + 33, volume[at + 32]!);
    let use = at + 33 + volume[at + 32]! + (volume[at + 32]! % 2 === 0 ? 1 : 0);
    const entries = new Map<string, number>();
    for (; use + 4 <= at + size; use += volume[use + 2]!) entries.set(text(use, 2), use);
    assert.ok(entries.has('PX'));
    if (index === 0) assert.ok(entries.has('SP') && entries.has('ER'));
    if (index > 1) {
      assert.ok(identifier > plain, 'in order');
      plain = identifier;
      const name = entries.get('NM')!;
      const start = view.getUint32(at + 2, true) * 2048;
      files.set(text(name + 5, volume[name + 2]! - 5), volume.subarray(start, start + view.getUint32(at + 10, true)));
    }
    at += size;
  }
  return { label: text(descriptor + 40, 32).trimEnd(), files };
}
