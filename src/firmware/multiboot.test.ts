import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatMemory } from '../memory/guest-memory.ts';
import { concat, u32 } from './bytes.ts';
import { writeElf } from './elf-writer.ts';
import { detectKernel, loadKernel } from './kernel.ts';

const MIB = 0x100000;
const MAGIC = 0x1badb002;

function header(flags: number, ...rest: number[]): Uint8Array {
  return u32(MAGIC, flags, (2 ** 33 - MAGIC - flags) % 2 ** 32, ...rest);
}

function elfKernel(flags = 3, virtualAddress = MIB, entry = MIB + 12): Uint8Array {
  const bytes = concat(header(flags), new Uint8Array(20).fill(0x90));
  return writeElf({ wordSize: 4, entry, segments: [{ physicalAddress: MIB, virtualAddress, bytes, memorySize: 64 }] });
}

function boot(kernel: Uint8Array, initrd?: Uint8Array) {
  const memory = flatMemory(4 * MIB);
  memory.bytes.fill(0xcc, MIB, MIB + 0x1000);
  const request = { kernel, commandLine: 'a=1 b', moduleCommandLine: 'disk.img', rsdp: 0, vga: false };
  const loaded = loadKernel(memory, { ...request, ...(initrd && { initrd }) });
  return { memory, loaded, view: new DataView(memory.bytes.buffer) };
}

test('an ELF kernel starts in protected mode with the magic in EAX and the information in EBX', () => {
  const { memory, loaded, view } = boot(elfKernel(), new Uint8Array(10).fill(7));
  assert.equal(loaded.format, 'multiboot');
  assert.equal(loaded.entry.mode, 'protected');
  assert.equal(loaded.entry.rip, BigInt(MIB + 12));
  assert.equal(loaded.entry.registers.rax, 0x2badb002n);
  assert.equal(memory.bytes[MIB + 12], 0x90);
  assert.ok(memory.bytes.subarray(MIB + 32, MIB + 64).every((byte) => byte === 0));
  assert.equal(memory.bytes[MIB + 64], 0xcc);

  const info = Number(loaded.entry.registers.rbx);
  const word = (at: number) => view.getUint32(at, true);
  const text = (at: number, length: number) => new TextDecoder().decode(memory.bytes.subarray(at, at + length));
  assert.equal(word(info), 0x24d, 'memory, command line, modules, memory map, loader name');
  assert.deepEqual([word(info + 4), word(info + 8)], [639, 3 * 1024]);
  assert.equal(text(word(info + 16), 6), 'a=1 b\0');
  assert.equal(text(word(info + 64), 6), 'Virts\0');
  assert.equal(word(info + 20), 1);
  const module = word(info + 24);
  assert.deepEqual(
    [word(module), word(module + 4)],
    [MIB + 0x1000, MIB + 0x1000 + 10],
    'page-aligned after the kernel',
  );
  assert.equal(memory.bytes[MIB + 0x1000 + 9], 7);
  assert.equal(text(word(module + 8), 9), 'disk.img\0');
  const map = word(info + 48);
  assert.equal(word(info + 44), 4 * 24);
  const types: number[] = [];
  for (let at = map; at < map + 96; at += word(at) + 4) types.push(word(at + 20));
  assert.deepEqual(types, [1, 2, 2, 1]);
});

test('without an initrd the module flag is clear', () => {
  const { loaded, view } = boot(elfKernel());
  assert.equal(view.getUint32(Number(loaded.entry.registers.rbx), true) & 8, 0);
});

test('a virtual entry point is translated by its segment, a physical one is taken as it stands', () => {
  assert.equal(boot(elfKernel(3, 0xc0100000, 0xc010000c)).loaded.entry.rip, BigInt(MIB + 12));
  assert.equal(boot(elfKernel(3, 0xc0100000, MIB + 16)).loaded.entry.rip, BigInt(MIB + 16));
});

/** A flat file: 16 bytes of something, the header, then code up to 64 bytes. */
function flatKernel(load: number, loadEnd: number, bssEnd: number, entry: number, length = 64): Uint8Array {
  const content = concat(new Uint8Array(16).fill(1), header(0x10000, MIB + 16, load, loadEnd, bssEnd, entry));
  return concat(content, new Uint8Array(length - content.length).fill(0x90));
}

test('address fields place a file that is not ELF', () => {
  const { memory, loaded } = boot(flatKernel(MIB, MIB + 56, MIB + 80, MIB + 48));
  assert.equal(loaded.entry.rip, BigInt(MIB + 48));
  assert.deepEqual(loaded.kernel, { base: MIB, size: 80 });
  assert.deepEqual([memory.bytes[MIB], memory.bytes[MIB + 55]], [1, 0x90]);
  assert.ok(memory.bytes.subarray(MIB + 56, MIB + 80).every((byte) => byte === 0));
  // A load address inside the file leaves out what comes before; no end means the whole rest, no bss.
  const partial = boot(flatKernel(MIB + 16, 0, 0, MIB + 48));
  assert.deepEqual(partial.loaded.kernel, { base: MIB + 16, size: 48 });
  assert.equal(partial.memory.bytes[MIB], 0xcc);
});

test('address fields that contradict each other or the file are refused', () => {
  const bad = (kernel: Uint8Array, message: RegExp) =>
    assert.throws(() => boot(kernel), { kind: 'bad-input', message });
  bad(flatKernel(MIB + 32, 0, 0, MIB + 48), /contradict/);
  bad(flatKernel(MIB - 64, 0, 0, MIB + 48), /contradict/);
  bad(flatKernel(MIB, MIB - 1, 0, MIB + 48), /contradict/);
  bad(flatKernel(MIB, 0, 0, 4 * MIB), /contradict/);
  bad(flatKernel(MIB, MIB + 65, 0, MIB + 48), /truncated/);
});

test('required features that are unknown are refused', () => {
  assert.throws(() => boot(elfKernel(0x13)), { kind: 'unsupported' });
});

test('the header must have a right checksum and lie in the first 8 KiB', () => {
  const broken = elfKernel();
  broken[84 + 8] ^= 1;
  assert.throws(() => detectKernel(broken), { kind: 'bad-input' });
  const late = concat(new Uint8Array(8192 - 8), header(0x10000, MIB, MIB, 0, 0, MIB));
  assert.throws(() => detectKernel(late), { kind: 'bad-input' });
});
