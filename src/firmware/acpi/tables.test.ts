import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BoardDescription, STANDARD_BOARD } from '../board-description.ts';
import { LAYOUT } from '../layout.ts';
import { acpiTables } from './tables.ts';

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** Follows the pointers as a guest does; checks every length and checksum on the way. */
function follow(board: BoardDescription) {
  const { rsdp, tables } = acpiTables(board);
  const { base, size } = LAYOUT.acpiTables;
  assert.ok(tables.length <= size);
  const at = (address: number) => {
    const view = new DataView(tables.buffer, tables.byteOffset + address - base);
    const bytes = tables.subarray(address - base, address - base + view.getUint32(4, true));
    const signature = text(bytes.subarray(0, 4));
    if (signature !== 'FACS') assert.equal(sum(bytes), 0, `checksum of ${signature}`);
    return { signature, bytes, view };
  };
  assert.equal(text(rsdp.subarray(0, 8)), 'RSD PTR ');
  assert.equal(sum(rsdp.subarray(0, 20)), 0);
  assert.equal(sum(rsdp), 0);
  const root = new DataView(rsdp.buffer);
  const rsdt = at(root.getUint32(16, true));
  const xsdt = at(Number(root.getBigUint64(24, true)));
  assert.deepEqual([rsdt.signature, xsdt.signature], ['RSDT', 'XSDT']);
  const fromRsdt = Array.from({ length: (rsdt.bytes.length - 36) / 4 }, (_, i) =>
    rsdt.view.getUint32(36 + i * 4, true),
  );
  const fromXsdt = Array.from({ length: (xsdt.bytes.length - 36) / 8 }, (_, i) =>
    Number(xsdt.view.getBigUint64(36 + i * 8, true)),
  );
  assert.deepEqual(fromRsdt, fromXsdt);
  const listed = new Map(fromXsdt.map((address) => [at(address).signature, at(address)]));
  return { at, listed };
}

test('all tables are reachable, with right lengths and checksums', () => {
  assert.deepEqual([...follow(STANDARD_BOARD).listed.keys()], ['FACP', 'APIC', 'HPET']);
  const { hpet: _, ...without } = STANDARD_BOARD;
  assert.deepEqual([...follow(without).listed.keys()], ['FACP', 'APIC']);
});

test('the FADT names the registers of the board', () => {
  const { at, listed } = follow(STANDARD_BOARD);
  const fadt = listed.get('FACP')!;
  const { view } = fadt;
  assert.equal(fadt.bytes.length, 276);
  const facsAddress = view.getUint32(36, true);
  assert.equal(at(facsAddress).signature, 'FACS');
  assert.equal(facsAddress % 64, 0);
  assert.equal(at(view.getUint32(40, true)).signature, 'DSDT');
  assert.equal(view.getBigUint64(140, true), BigInt(view.getUint32(40, true)));
  assert.equal(view.getUint16(46, true), 9);
  assert.deepEqual([view.getUint32(48, true), view.getUint8(52), view.getUint8(53)], [0xb2, 0xf1, 0xf0]);
  assert.deepEqual(
    [56, 64, 76, 80].map((offset) => view.getUint32(offset, true)),
    [0x600, 0x604, 0x608, 0x620],
  );
  assert.equal(view.getUint8(108), 0x32);
  const flags = view.getUint32(112, true);
  assert.ok(flags & (1 << 10), 'reset register');
  assert.ok(!(flags & (1 << 4)), 'the power button is a fixed feature');
  assert.ok(!(flags & (1 << 20)), 'not hardware-reduced');
  assert.deepEqual([...fadt.bytes.subarray(116, 129)], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6]);
  for (const [offset, address] of [
    [148, 0x600],
    [172, 0x604],
    [208, 0x608],
    [220, 0x620],
  ] as const) {
    assert.equal(view.getUint8(offset), 1, 'an I/O port');
    assert.equal(view.getBigUint64(offset + 4, true), BigInt(address));
  }
});

test('the boot architecture flags follow the board', () => {
  const flags = (board: BoardDescription) => follow(board).listed.get('FACP')!.view.getUint16(109, true);
  const { ps2: _, ...without } = STANDARD_BOARD;
  assert.equal(flags(STANDARD_BOARD), 0b111);
  assert.equal(flags({ ...STANDARD_BOARD, vga: true }), 0b011);
  assert.equal(flags(without), 0b101);
});

function madtEntries(board: BoardDescription): number[][] {
  const { bytes } = follow(board).listed.get('APIC')!;
  const entries: number[][] = [];
  for (let at = 44; at < bytes.length; at += bytes[at + 1]) entries.push([...bytes.subarray(at, at + bytes[at + 1])]);
  return entries;
}

test('the MADT lists processors, I/O APIC, overrides and NMI', () => {
  assert.deepEqual(madtEntries({ ...STANDARD_BOARD, vcpus: 2 }), [
    [0, 8, 0, 0, 1, 0, 0, 0],
    [0, 8, 1, 1, 1, 0, 0, 0],
    [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
    [2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
    [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0],
    [4, 6, 0xff, 0, 0, 1],
  ]);
  const powerManagement = { ...STANDARD_BOARD.powerManagement, sci: { irq: 9, polarity: 'low' } as const };
  assert.equal(madtEntries({ ...STANDARD_BOARD, powerManagement })[3][8], 0x0f);
});

test('the largest board fits, one vCPU more is refused', () => {
  const largest = { ...STANDARD_BOARD, vcpus: 255, vga: true };
  assert.equal(madtEntries(largest).filter(([type]) => type === 0).length, 255);
  for (const vcpus of [0, 256, 1.5]) {
    assert.throws(() => acpiTables({ ...STANDARD_BOARD, vcpus }), { kind: 'usage' });
  }
});

test('the DSDT has a device for each part of the board and no other', () => {
  const names = (board: BoardDescription) => {
    const { at, listed } = follow(board);
    const source = text(at(listed.get('FACP')!.view.getUint32(40, true)).bytes);
    return ['PCI0', '_PRT', 'COM1', 'COM2', 'KBD_', 'MOU_', 'HPET', 'RTC_', 'C001', '_S5_'].filter((name) =>
      source.includes(name),
    );
  };
  assert.deepEqual(names({ ...STANDARD_BOARD, vcpus: 2 }), [
    'PCI0',
    '_PRT',
    'COM1',
    'COM2',
    'KBD_',
    'MOU_',
    'HPET',
    'RTC_',
    'C001',
    '_S5_',
  ]);
  const { pci: _pci, ps2: _ps2, hpet: _hpet, ...bare } = STANDARD_BOARD;
  assert.deepEqual(names({ ...bare, serial: [] }), ['RTC_', '_S5_']);
});
