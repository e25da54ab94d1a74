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

/** Numbers of the processors, as a guest reads them in the ACPI, MP and SMBIOS tables that it finds. */
function processors({ bytes }: { readonly bytes: Uint8Array }, rsdp: number) {
  const view = new DataView(bytes.buffer);
  const text = (at: number, length: number) => String.fromCharCode(...bytes.subarray(at, at + length));
  const rsdt = view.getUint32(rsdp + 16, true);
  const tables = new Map<string, number>();
  for (let at = rsdt + 36; at < rsdt + view.getUint32(rsdt + 4, true); at += 4) {
    const table = view.getUint32(at, true);
    tables.set(text(table, 4), table);
  }
  const [madt, fadt] = [tables.get('APIC')!, tables.get('FACP')!];
  const acpi: number[][] = [];
  for (let at = madt + 44; at < madt + view.getUint32(madt + 4, true); at += bytes[at + 1]) {
    if (bytes[at] === 0) acpi.push([bytes[at + 2], bytes[at + 3], view.getUint32(at + 4, true)]);
  }
  const dsdt = view.getUint32(fadt + 40, true);
  const code = text(dsdt, view.getUint32(dsdt + 4, true));
  const mp: number[][] = [];
  const mpTable = view.getUint32(search(bytes, '_MP_')! + 4, true);
  for (let at = mpTable + 44; bytes[at] === 0; at += 20) mp.push([bytes[at + 1], bytes[at + 3]]);
  // The entry point of version 3 holds a 64-bit address at 16; type 4 is the processor, its cores are at 0x23.
  let smbios = view.getUint32(search(bytes, '_SM3_')! + 16, true);
  while (bytes[smbios] !== 4) {
    smbios += bytes[smbios + 1];
    while (view.getUint16(smbios, true) !== 0) smbios++;
    smbios += 2;
  }
  return {
    acpi,
    objects: code.match(/C0[0-9A-F]{2}(?=._HID.ACPI0007)/gs) ?? [],
    mp,
    cores: [0x23, 0x24, 0x25].map((at) => bytes[smbios + at]),
  };
}

test('1 to 8 vCPUs: all tables name the same processors', () => {
  for (let vcpus = 1; vcpus <= 8; vcpus++) {
    const memory = flatMemory(2 * MIB);
    const found = processors(memory, installBoardTables(memory, { ...STANDARD_BOARD, vcpus }));
    const all = Array.from({ length: vcpus }, (_, n) => n);
    assert.deepEqual(found, {
      acpi: all.map((n) => [n, n, 1]),
      objects: all.map((n) => `C00${n}`),
      mp: all.map((n) => [n, n === 0 ? 3 : 1]),
      cores: [vcpus, vcpus, vcpus],
    });
  }
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
