import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  argument,
  buffer,
  device,
  eisaId,
  ifTrue,
  integer,
  method,
  name,
  nameString,
  packageOf,
  returns,
  scope,
  store,
  string,
} from './aml.ts';
import { busNumbers, io, ioWindow, irq, memory32Fixed, memoryWindow, resourceTemplate } from './resources.ts';

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('integers take their shortest form', () => {
  const forms: [number | bigint, string][] = [
    [0, '00'],
    [1, '01'],
    [2, '0a02'],
    [0xff, '0aff'],
    [0x100, '0b0001'],
    [0xffff, '0bffff'],
    [0x10000, '0c00000100'],
    [0xffffffff, '0cffffffff'],
    [0x100000000n, '0e0000000001000000'],
  ];
  for (const [value, bytes] of forms) assert.equal(hex(integer(value)), bytes);
});

test('names are filled up, and prefixed by the number of their segments', () => {
  assert.equal(hex(nameString('_SB')), hex(Buffer.from('_SB_')));
  assert.equal(hex(nameString('\\_SB.PCI0')), `5c2e${hex(Buffer.from('_SB_PCI0'))}`);
  assert.equal(hex(nameString('\\_SB.PCI0.ISA')), `5c2f03${hex(Buffer.from('_SB_PCI0ISA_'))}`);
  assert.equal(hex(nameString('\\')), '5c00');
});

test('package lengths count themselves at every size', () => {
  // The length begins after the opcode byte; 2 and more bytes put the low nibble into the first.
  const lengthOf = (bytes: Uint8Array) => {
    const following = bytes[1] >> 6;
    if (following === 0) return bytes[1];
    let length = bytes[1] & 0xf;
    for (let i = 0; i < following; i++) length += bytes[2 + i] << (4 + 8 * i);
    return length;
  };
  for (const size of [
    0,
    50,
    57,
    58,
    59,
    60,
    61,
    62,
    63,
    64,
    4080,
    4085,
    4086,
    4087,
    4088,
    4089,
    4090,
    4091,
    4092,
    70_000,
    1 << 20,
  ]) {
    const bytes = buffer(new Uint8Array(size));
    assert.equal(lengthOf(bytes), bytes.length - 1, `size ${size}`);
  }
});

test('terms encode as the compiler of the ACPI tools does', () => {
  assert.equal(hex(name('PICF', integer(0))), '085049434600');
  assert.equal(hex(string('Hi')), '0d486900');
  assert.equal(hex(eisaId('PNP0A03')), '0c41d00a03');
  assert.equal(hex(eisaId('PNP0501')), '0c41d00501');
  assert.equal(hex(packageOf(integer(5), integer(0))), '120502' + '0a05' + '00');
  assert.equal(hex(method('_PIC', 1, store(argument(0), nameString('PICF')))), '140c5f5049430170685049434' + '6');
  assert.equal(hex(ifTrue(nameString('PICF'), returns(integer(1)))), 'a00750494346a401');
  assert.equal(hex(device('COM1', name('_UID', integer(1)))), '5b820b434f4d3108' + '5f55494401');
  assert.equal(hex(scope('\\_SB')), '10065c5f53425f');
});

test('resource descriptors', () => {
  assert.equal(hex(io(0x3f8, 8)), '4701f803f8030108');
  assert.equal(hex(irq(4)), '221000');
  assert.equal(hex(memory32Fixed(0xfed00000, 0x400)), '86090001' + '0000d0fe' + '00040000');
  assert.equal(hex(busNumbers(0, 255)), '880d00020c00' + '00000000ff0000000001');
  assert.equal(hex(ioWindow(0, 0xcf7)), '880d00010c03' + '00000000f70c0000f80c');
  assert.equal(hex(memoryWindow(0xe0000000, 0xfebfffff)), '871700000c01' + '00000000000000e0ffffbffe000000000000c01e');
  assert.equal(hex(resourceTemplate(irq(4))), '1108' + '0a05' + '2210007900');
});
