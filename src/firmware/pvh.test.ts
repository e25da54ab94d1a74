import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatMemory } from '../memory/guest-memory.ts';
import { concat, u32, u64 } from './bytes.ts';
import { elfNote, writeElf } from './elf-writer.ts';
import { detectKernel, loadKernel } from './kernel.ts';

const MIB = 0x100000;
const VIRTUAL = 0x80000000;

/** Code at 1 MiB with 0x2000 bytes of bss, a note that names 0x100010 as the entry. */
function pvhKernel(wordSize: 4 | 8, physicalAddress = MIB, memorySize = 0x3000): Uint8Array {
  const address = wordSize === 8 ? u64(0x100010) : u32(0x100010);
  const notes = concat(elfNote('GNU', 18, u32(7)), elfNote('Xen', 6, u32(1)), elfNote('Xen', 18, address));
  return writeElf({
    wordSize,
    entry: VIRTUAL,
    segments: [
      { type: 4, physicalAddress: 0, bytes: notes },
      { physicalAddress, virtualAddress: VIRTUAL, bytes: new Uint8Array(0x1000).fill(0x90), memorySize },
    ],
  });
}

for (const wordSize of [4, 8] as const) {
  test(`ELF${wordSize * 8} with a PVH note starts at the note's address with EBX at the start info`, () => {
    const memory = flatMemory(4 * MIB);
    memory.bytes.fill(0xcc, MIB, MIB + 0x4000);
    const initrd = new Uint8Array(100).fill(0x55);
    const kernel = pvhKernel(wordSize);
    const request = { kernel, initrd, commandLine: 'quiet', moduleCommandLine: 'rd', rsdp: 0xf0000, vga: false };
    const { format, entry } = loadKernel(memory, request);
    assert.equal(format, 'pvh');
    assert.equal(entry.mode, 'protected');
    assert.equal(entry.rip, 0x100010n);
    assert.equal(entry.cr0, 0x11n);
    assert.equal(entry.cr4, 0n);
    assert.equal(entry.segments.tr.limit, 0x67);
    assert.equal(memory.bytes[MIB], 0x90);
    assert.ok(
      memory.bytes.subarray(MIB + 0x1000, MIB + 0x3000).every((byte) => byte === 0),
      'bss is cleared',
    );
    assert.equal(memory.bytes[MIB + 0x3000], 0xcc, 'and no more than that');

    const view = new DataView(memory.bytes.buffer);
    const text = (at: number, length: number) => new TextDecoder().decode(memory.bytes.subarray(at, at + length));
    const info = Number(entry.registers.rbx);
    const word = (at: number) => view.getUint32(at, true);
    const long = (at: number) => Number(view.getBigUint64(at, true));
    assert.deepEqual([word(info), word(info + 4), word(info + 12)], [0x336ec578, 1, 1]);
    assert.equal(text(long(info + 24), 6), 'quiet\0');
    assert.equal(long(info + 32), 0xf0000);
    const module = long(info + 16);
    assert.deepEqual([long(module), long(module + 8)], [4 * MIB - 0x1000, 100]);
    assert.equal(memory.bytes[long(module)], 0x55);
    assert.equal(text(long(module + 16), 3), 'rd\0');
    const map = long(info + 40);
    const last = map + (word(info + 48) - 1) * 24;
    assert.deepEqual([long(last), long(last + 8), word(last + 16)], [MIB, 3 * MIB, 1]);
  });
}

test('without an initrd there is no module', () => {
  const memory = flatMemory(4 * MIB);
  const { entry } = loadKernel(memory, { kernel: pvhKernel(8), commandLine: '', rsdp: 0, vga: false });
  const info = new DataView(memory.bytes.buffer, Number(entry.registers.rbx), 56);
  assert.deepEqual([info.getUint32(12, true), info.getBigUint64(16, true)], [0, 0n]);
});

test('segments must lie in memory that a kernel may have', () => {
  const load = (kernel: Uint8Array) => () =>
    loadKernel(flatMemory(2 * MIB), { kernel, commandLine: '', rsdp: 0, vga: false });
  assert.throws(load(pvhKernel(8, MIB, 8 * MIB)), { kind: 'no-space', message: /at least 9 MiB/ });
  for (const address of [0, 0x7000, 0x9f000, 0xb8000, 0xff000]) {
    assert.throws(load(pvhKernel(8, address)), { kind: 'bad-input', message: /not free memory/ });
  }
  load(pvhKernel(8, 0x20000))();
});

test('a damaged or truncated ELF file is told in a sentence', () => {
  const whole = pvhKernel(8);
  for (const length of [20, 63, 100, whole.length - 1]) {
    assert.throws(() => detectKernel(whole.subarray(0, length)), { kind: 'bad-input', message: /truncated/ });
  }
  assert.throws(() => detectKernel(pvhKernel(8, MIB, 0x800)), { kind: 'bad-input', message: /damaged/ });
});

test('a note that claims more than its segment holds is passed over', () => {
  const note = concat(u32(4, 0xfffffff0, 18), new TextEncoder().encode('Xen\0'), u32(0x100010));
  const kernel = writeElf({ wordSize: 8, entry: 0, segments: [{ type: 4, physicalAddress: 0, bytes: note }] });
  assert.throws(() => detectKernel(kernel), { kind: 'bad-input', message: /neither a PVH entry note/ });
});
