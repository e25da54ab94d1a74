import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BoardDescription, STANDARD_BOARD } from './board-description.ts';
import { LAYOUT } from './layout.ts';
import { mpTables } from './mp-table.ts';

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

function entries(board: BoardDescription): number[][] {
  const { table } = mpTables(board);
  const result: number[][] = [];
  for (let at = 44; at < table.length; ) {
    const size = table[at] === 0 ? 20 : 8;
    result.push([...table.subarray(at, at + size)]);
    at += size;
  }
  return result;
}

test('pointer and table have right checksums, lengths and counts', () => {
  const { pointer, table } = mpTables(STANDARD_BOARD);
  assert.deepEqual([pointer.length, sum(pointer), sum(table)], [16, 0, 0]);
  assert.equal(new DataView(pointer.buffer).getUint32(4, true), LAYOUT.mpTable.base);
  const view = new DataView(table.buffer);
  assert.equal(view.getUint16(4, true), table.length);
  assert.equal(view.getUint16(34, true), entries(STANDARD_BOARD).length);
  assert.equal(view.getUint32(36, true), 0xfee00000);
});

test('the first processor is the boot processor', () => {
  const processors = entries({ ...STANDARD_BOARD, vcpus: 3 }).filter(([type]) => type === 0);
  assert.deepEqual(
    processors.map((entry) => [entry[1], entry[3]]),
    [
      [0, 3],
      [1, 1],
      [2, 1],
    ],
  );
});

test('the timer arrives at input 2, the SCI is level-triggered, the cascade is left out', () => {
  const isa = entries(STANDARD_BOARD).filter(([type, , , , bus]) => type === 3 && bus === 1);
  assert.deepEqual(
    isa.map((entry) => entry[5]),
    [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  );
  assert.equal(isa[0][7], 2);
  assert.equal(isa.find((entry) => entry[5] === 9)?.[2], 0x0d);
});

test('PCI interrupts rotate with the device and keep ISA interrupts from their inputs', () => {
  const pci = { ...STANDARD_BOARD.pci!, gsis: [10, 11, 10, 11] as const };
  const all = entries({ ...STANDARD_BOARD, pci }).filter(([type]) => type === 3);
  const fromPci = all.filter((entry) => entry[4] === 0);
  assert.equal(fromPci.length, 128);
  const input = (device: number, pin: number) => fromPci.find((entry) => entry[5] === ((device << 2) | pin))?.[7];
  assert.deepEqual([input(0, 0), input(1, 0), input(1, 1), input(31, 3)], [10, 11, 10, 10]);
  const fromIsa = all.filter((entry) => entry[4] === 1).map((entry) => entry[5]);
  assert.ok(!fromIsa.includes(10) && !fromIsa.includes(11));
});

test('the largest board fits its place', () => {
  assert.ok(mpTables({ ...STANDARD_BOARD, vcpus: 255 }).table.length <= LAYOUT.mpTable.size);
});
