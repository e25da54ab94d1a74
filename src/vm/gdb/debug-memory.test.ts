import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from '../../base/struct.ts';
import { CR0, CR4, EFER, VCPU } from '../../isa/state.ts';
import { flatMemory } from '../../memory/guest-memory.ts';
import { createDebugMemory, translateLinear } from './debug-memory.ts';

const SIZE = 0x20000;
const PG = 0x8000_0001n;

/** A vCPU whose page tables `entries` (address, value) describe; the tables start at 0x1000. */
function machine(mode: 'long' | 'pae' | '32', bytes: 4 | 8, entries: readonly (readonly [number, bigint])[]) {
  const state = allocate(VCPU);
  const memory = flatMemory(SIZE);
  const data = new DataView(memory.bytes.buffer);
  for (const [at, value] of entries) {
    if (bytes === 8) data.setBigUint64(at, value, true);
    else data.setUint32(at, Number(value), true);
  }
  state.cr0 = PG;
  state.cr3 = 0x1000n;
  if (mode === 'long') state.efer = BigInt(EFER.lme | EFER.lma);
  state.cr4 = BigInt(mode === '32' ? CR4.pse : CR4.pae);
  return { state, memory, ...createDebugMemory(state, memory) };
}

// PML4[511] -> 0x2000; PDPT[510] -> 0x3000; PD[0] -> 0x4000, PD[1] 2 MiB page at 0x600000; PT[1] -> 0xa000, PT[2] -> 0x9000.
const LONG = [
  [0x1000 + 511 * 8, 0x2001n],
  [0x2000 + 510 * 8, 0x3001n],
  [0x3000, 0x4001n],
  [0x3008, 0x60_0081n],
  [0x4008, 0x8000_0000_0000_a001n],
  [0x4010, 0x9001n],
] as const;
const KERNEL = 0xffff_ffff_8000_0000n;

test('Four-level paging: 4 KiB and 2 MiB pages, whatever the rights', () => {
  const { state, memory } = machine('long', 8, LONG);
  assert.equal(translateLinear(state, memory, KERNEL + 0x1234n), 0xa234);
  assert.equal(translateLinear(state, memory, KERNEL + 0x2fffn), 0x9fff);
  assert.equal(translateLinear(state, memory, KERNEL + 0x20_1234n), 0x60_1234);
  assert.equal(translateLinear(state, memory, KERNEL + 0x3000n), undefined);
  assert.equal(translateLinear(state, memory, 0n), undefined);
  assert.equal(translateLinear(state, memory, 0x8000_0000_0000n), undefined);
});

test('Looking leaves page tables and fault fields alone', () => {
  const { state, memory, readMemory, writeMemory } = machine('long', 8, LONG);
  const tables = memory.bytes.slice(0x1000, 0x5000);
  const before = { vector: state.faultVector, cr2: state.cr2 };
  readMemory(KERNEL + 0x1000n, 16);
  writeMemory(KERNEL + 0x1000n, Uint8Array.of(1));
  readMemory(KERNEL, 16);
  assert.deepEqual(memory.bytes.slice(0x1000, 0x5000), tables);
  assert.deepEqual({ vector: state.faultVector, cr2: state.cr2 }, before);
});

test('Accesses cross pages that are not neighbours; reads end at a hole, writes do not begin before one', () => {
  const { memory, readMemory, writeMemory } = machine('long', 8, LONG);
  assert.equal(writeMemory(KERNEL + 0x1ffen, Uint8Array.of(1, 2, 3, 4)), true);
  assert.deepEqual([...memory.bytes.subarray(0xaffe, 0xb000)], [1, 2]);
  assert.deepEqual([...memory.bytes.subarray(0x9000, 0x9002)], [3, 4]);
  assert.deepEqual([...readMemory(KERNEL + 0x1ffen, 4)], [1, 2, 3, 4]);
  assert.equal(readMemory(KERNEL + 0x2ff0n, 32).length, 16);
  assert.equal(readMemory(KERNEL + 0x20_0000n, 4).length, 0, 'mapped, but no RAM');
  assert.equal(writeMemory(KERNEL + 0x2fffn, Uint8Array.of(7, 7)), false);
  assert.equal(memory.bytes[0x9fff], 0);
});

test('PAE paging starts from the pointers that CR3 loaded', () => {
  const { state, memory } = machine('pae', 8, [
    [0x2000 + 511 * 8, 0x3001n],
    [0x3000 + 511 * 8, 0x5001n],
    [0x2000, 0x40_0081n],
  ]);
  state.pdpte[3] = 0x2001n;
  assert.equal(translateLinear(state, memory, 0xffff_f123n), 0x5123);
  assert.equal(translateLinear(state, memory, 0xffff_ffff_ffff_f123n), 0x5123, 'addresses have 32 bits');
  assert.equal(translateLinear(state, memory, 0xc000_0042n), 0x40_0042);
  assert.equal(translateLinear(state, memory, 0x1000n), undefined);
});

test('32-bit paging: 4 KiB pages, 4 MiB pages with PSE-36, and CR4.PSE decides', () => {
  const { state, memory } = machine('32', 4, [
    [0x1000 + 768 * 4, 0x2001n],
    [0x2004, 0x8001n],
    [0x1004, 0x0080_2081n],
  ]);
  assert.equal(translateLinear(state, memory, 0xc000_1abcn), 0x8abc);
  assert.equal(translateLinear(state, memory, 0x0040_0123n), 0x1_0080_0123);
  state.cr4 = 0n;
  assert.equal(translateLinear(state, memory, 0x0040_0123n), undefined, 'a table outside RAM');
});

test('Without paging linear addresses are physical', () => {
  const { state, memory, readMemory } = machine('32', 4, []);
  state.cr0 = BigInt(CR0.pe);
  memory.bytes[0x123] = 0x55;
  assert.deepEqual([...readMemory(0x123n, 1)], [0x55]);
  assert.equal(readMemory(BigInt(SIZE), 1).length, 0);
});
