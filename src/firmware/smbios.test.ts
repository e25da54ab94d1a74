import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STANDARD_BOARD } from './board-description.ts';
import { LAYOUT } from './layout.ts';
import { smbiosTables, uuidBytes } from './smbios.ts';

const GIB = 2 ** 30;
const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

interface Structure {
  type: number;
  handle: number;
  formatted: DataView;
  strings: string[];
}

/** Walks the table as a guest does: by lengths and double NULs. */
function structures(table: Uint8Array): Structure[] {
  const result: Structure[] = [];
  for (let at = 0; at < table.length; ) {
    const length = table[at + 1];
    const formatted = new DataView(table.buffer, table.byteOffset + at, length);
    let end = at + length;
    while (table[end] !== 0 || table[end + 1] !== 0) end++;
    const strings = String.fromCharCode(...table.subarray(at + length, end))
      .split('\0')
      .filter(Boolean);
    result.push({ type: table[at], handle: formatted.getUint16(2, true), formatted, strings });
    at = end + 2;
  }
  return result;
}

test('both entry points have right checksums and point at the table', () => {
  const { entry2, entry3, table } = smbiosTables(STANDARD_BOARD, GIB);
  assert.deepEqual([entry2.length, sum(entry2), sum(entry2.subarray(16))], [31, 0, 0]);
  assert.deepEqual([entry3.length, sum(entry3)], [24, 0]);
  const view2 = new DataView(entry2.buffer);
  const all = structures(table);
  assert.deepEqual(
    [view2.getUint16(22, true), view2.getUint32(24, true), view2.getUint16(28, true)],
    [table.length, LAYOUT.smbiosTable.base, all.length],
  );
  const view3 = new DataView(entry3.buffer);
  assert.deepEqual(
    [view3.getUint32(12, true), Number(view3.getBigUint64(16, true))],
    [table.length, LAYOUT.smbiosTable.base],
  );
});

test('the structures are complete, with the lengths of SMBIOS 3.0', () => {
  const all = structures(smbiosTables(STANDARD_BOARD, GIB).table);
  assert.deepEqual(
    all.map(({ type, formatted }) => [type, formatted.byteLength]),
    [
      [0, 0x18],
      [1, 0x1b],
      [2, 0x0f],
      [3, 0x16],
      [4, 0x30],
      [16, 0x17],
      [17, 0x28],
      [19, 0x1f],
      [32, 0x0b],
      [127, 4],
    ],
  );
  assert.equal(new Set(all.map(({ handle }) => handle)).size, all.length);
  for (const { type, strings } of all.slice(0, 4)) assert.equal(strings[0], 'Virts', `type ${type}`);
});

test('memory and processors are those of the machine', () => {
  const all = structures(smbiosTables({ ...STANDARD_BOARD, vcpus: 6 }, 3.5 * GIB).table);
  const find = (type: number) => all.find((structure) => structure.type === type)!.formatted;
  assert.equal(find(4).getUint8(0x23), 6);
  assert.equal(find(16).getUint32(7, true), 3.5 * 1024 * 1024);
  assert.equal(find(17).getUint16(12, true), 3584);
  assert.equal(find(19).getUint32(8, true), 3.5 * 1024 * 1024 - 1);
  const handleOf = (type: number) => all.find((structure) => structure.type === type)!.handle;
  assert.equal(find(17).getUint16(4, true), handleOf(16));
  assert.equal(find(19).getUint16(12, true), handleOf(16));
  assert.equal(find(2).getUint16(11, true), handleOf(3));
});

test('a UUID is stored with its first three fields little-endian', () => {
  const bytes = uuidBytes('00112233-4455-6677-8899-AABBCCDDEEFF');
  assert.equal(Buffer.from(bytes).toString('hex'), '33221100554477668899aabbccddeeff');
  const table = smbiosTables({ ...STANDARD_BOARD, uuid: '00112233-4455-6677-8899-aabbccddeeff' }, GIB).table;
  const system = structures(table)[1].formatted;
  assert.equal(system.getUint32(8, true), 0x00112233);
  for (const bad of ['', '0011', '00112233-4455-6677-8899-aabbccddeefg']) {
    assert.throws(() => uuidBytes(bad), { kind: 'usage' });
  }
});
