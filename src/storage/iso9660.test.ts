import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryFile } from './byte-file.ts';
import { readVolume, wholeDisk } from './iso9660.test-helper.ts';
import { isoDisk, isoText } from './iso9660.ts';

/** Bytes that tell where they are from. */
const patterned = (length: number, seed: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + seed + (at >> 8)) & 0xff);

const CONTENTS: Record<string, Uint8Array<ArrayBuffer>> = {
  empty: patterned(0, 0),
  'user-data': patterned(5000, 3),
  'A_long.name-that+no~reader-without': patterned(9, 1),
};
// More than one block of directory.
for (let index = 0; index < 120; index++) {
  CONTENTS[`p${String(index).padStart(4, '0')}.deb`] = patterned((index * 379) % 6000, index);
}

const disk = isoDisk(
  'packages',
  Object.entries(CONTENTS).map(([name, bytes]) =>
    name === 'user-data' ? isoText(name, bytes) : { name, content: memoryFile(name, bytes) },
  ),
);

const image = () => wholeDisk(disk);

test('all files are found in the directory, with their content', async () => {
  const bytes = await image();
  const { label, files } = readVolume(bytes);
  assert.equal(label, 'packages');
  assert.deepEqual([...files.keys()], Object.keys(CONTENTS).toSorted());
  for (const [name, content] of files) assert.deepEqual(content, Buffer.from(CONTENTS[name]!), name);
});

test('any part of it reads as the whole does', async () => {
  const whole = await image();
  for (let at = 0; at + 9 * 512 <= whole.length; at += 7 * 512) {
    const pieces = [512, 3 * 512, 5 * 512].map((length) => new Uint8Array(length));
    await disk.read(at, pieces);
    assert.deepEqual(Buffer.concat(pieces), whole.subarray(at, at + 9 * 512));
  }
});

test('it cannot be written to, and takes no names that do not fit', async () => {
  assert.ok(disk.readOnly);
  await assert.rejects(disk.write(0, [new Uint8Array(512)]), { kind: 'io' });
  for (const name of ['', 'a/b', 'a\0', 'x'.repeat(65)]) assert.throws(() => isoDisk('x', [isoText(name, '')]));
});
