import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryFile } from './byte-file.ts';
import { isoDisk, isoText } from './iso9660.ts';

/** Bytes that tell where they are from. */
const patterned = (length: number, seed: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, at) => (at * 31 + seed + (at >> 8)) & 0xff);

const CONTENTS: Record<string, Uint8Array<ArrayBuffer>> = { empty: patterned(0, 0), 'user-data': patterned(5000, 3) };
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

async function image(): Promise<Buffer> {
  const bytes = Buffer.alloc(disk.size, 0xee);
  await disk.read(0, [bytes]);
  return bytes;
}

interface Found {
  readonly name: string;
  readonly block: number;
  readonly size: number;
}

/** Reads the root directory as ECMA-119 describes it. */
function rootDirectory(bytes: Buffer): Found[] {
  const descriptor = bytes.subarray(16 * 2048, 17 * 2048);
  assert.equal(descriptor.toString('latin1', 1, 6), 'CD001');
  assert.equal(descriptor.readUInt32LE(80) * 2048, bytes.length);
  const root = descriptor.subarray(156);
  const [start, size] = [root.readUInt32LE(2) * 2048, root.readUInt32LE(10)];
  const found: Found[] = [];
  for (let at = start; at < start + size; ) {
    const length = bytes[at]!;
    if (length === 0) {
      at = (Math.floor(at / 2048) + 1) * 2048;
      continue;
    }
    assert.equal(bytes.readUInt32LE(at + 2), bytes.readUInt32BE(at + 6));
    const name = bytes.toString('latin1', at + 33, at + 33 + bytes[at + 32]!);
    found.push({ name, block: bytes.readUInt32LE(at + 2), size: bytes.readUInt32LE(at + 10) });
    at += length;
  }
  return found;
}

test('all files are found in the directory, with their content', async () => {
  const bytes = await image();
  const [self, parent, ...files] = rootDirectory(bytes);
  assert.deepEqual([self!.name, parent!.name], ['\0', '\x01']);
  assert.deepEqual(
    files.map(({ name }) => name),
    Object.keys(CONTENTS).toSorted(),
  );
  for (const { name, block, size } of files) {
    assert.deepEqual(bytes.subarray(block * 2048, block * 2048 + size), Buffer.from(CONTENTS[name]!), name);
  }
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
  for (const name of ['', 'A', 'a/b', 'x'.repeat(31)]) assert.throws(() => isoDisk('x', [isoText(name, '')]));
});
