import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatMemory } from '../memory/guest-memory.ts';
import { STANDARD_BOARD } from './board-description.ts';
import { installBoardTables } from './board-tables.ts';

const MIB = 0x100000;

/** Finds an anchor as a guest does: on 16-byte boundaries from 0xF0000. */
function search(bytes: Uint8Array, anchor: string): number | undefined {
  for (let at = 0xf0000; at < MIB; at += 16) {
    if (String.fromCharCode(...bytes.subarray(at, at + anchor.length)) === anchor) return at;
  }
  return undefined;
}

test('a guest finds all anchors, and the address of the RSDP is returned', () => {
  const memory = flatMemory(2 * MIB);
  const rsdp = installBoardTables(memory, STANDARD_BOARD);
  assert.equal(search(memory.bytes, 'RSD PTR '), rsdp);
  for (const anchor of ['_SM_', '_SM3_', '_MP_']) assert.ok(search(memory.bytes, anchor), anchor);
});

test('the BIOS data area tells ports, EBDA and base memory', () => {
  const memory = flatMemory(2 * MIB);
  installBoardTables(memory, { ...STANDARD_BOARD, vga: true });
  const view = new DataView(memory.bytes.buffer);
  assert.deepEqual(
    [0x400, 0x402, 0x404].map((at) => view.getUint16(at, true)),
    [0x3f8, 0x2f8, 0],
  );
  assert.equal(view.getUint16(0x40e, true) * 16, 0x9fc00);
  assert.equal(view.getUint16(0x413, true), 639);
  assert.equal(view.getUint8(0x449), 3);
});

test('low memory after a reboot is as after the first boot', () => {
  const fresh = flatMemory(2 * MIB);
  const used = flatMemory(2 * MIB);
  used.bytes.fill(0xa5);
  installBoardTables(fresh, STANDARD_BOARD);
  installBoardTables(used, STANDARD_BOARD);
  for (const [start, end] of [
    [0, 0xa0000],
    [0xe0000, 0xf6000],
  ]) {
    assert.deepEqual(used.bytes.subarray(start, end), fresh.bytes.subarray(start, end));
  }
});

test('a machine with too little memory is refused in a sentence', () => {
  assert.throws(() => installBoardTables(flatMemory(0x80000), STANDARD_BOARD), { kind: 'no-space' });
});
