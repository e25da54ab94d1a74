import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatMemory } from '../memory/guest-memory.ts';
import { ascii, concat, u32 } from './bytes.ts';
import { elfNote, writeElf } from './elf-writer.ts';
import { detectKernel, loadKernel } from './kernel.ts';

const code = { physicalAddress: 0x100000, bytes: new Uint8Array(16) };
const multibootHeader = u32(0x1badb002, 0, 2 ** 32 - 0x1badb002);

function refuses(bytes: Uint8Array, message: RegExp): void {
  assert.throws(() => detectKernel(bytes), { name: 'VirtsError', kind: 'bad-input', message });
}

test('files that are no kernel are told in a sentence', () => {
  const at = (offset: number, magic: string) => concat(new Uint8Array(offset), ascii(magic), new Uint8Array(600));
  refuses(new Uint8Array(), /empty/);
  refuses(ascii('hello'), /neither a bzImage nor/);
  refuses(new Uint8Array(100_000), /neither a bzImage nor/);
  refuses(Uint8Array.of(0x1f, 0x8b, 8, 0), /gzip/);
  refuses(at(0, '070701'), /cpio/);
  refuses(at(0, '!<arch>\n'), /package/);
  refuses(at(0x38, 'ARM\x64'), /64-bit ARM/);
  refuses(at(0, 'MZ'), /EFI/);
  refuses(ascii('MZ'), /truncated/);
  refuses(at(0x8001, 'CD001'), /disc image/);
});

test('an ELF file for another processor, or no executable, is told apart', () => {
  const elf = (machine: number, type = 2) => writeElf({ wordSize: 8, entry: 0, machine, type, segments: [code] });
  refuses(elf(183), /built for 64-bit ARM/);
  refuses(elf(40), /built for 32-bit ARM/);
  refuses(elf(243), /built for RISC-V/);
  refuses(elf(9999), /another processor/);
  refuses(elf(62, 1), /object file/);
  refuses(elf(62, 4), /core dump/);
  refuses(elf(62), /neither a PVH entry note nor a multiboot header/);
  const bigEndian = elf(0x1600);
  bigEndian[5] = 2;
  refuses(bigEndian, /IBM Z/);
});

test('PVH goes before multiboot', () => {
  const note = { type: 4, physicalAddress: 0, bytes: elfNote('Xen', 18, u32(0x100000)) };
  const both = { ...code, bytes: multibootHeader };
  assert.equal(detectKernel(writeElf({ wordSize: 4, entry: 0x100000, segments: [note, both] })), 'pvh');
  assert.equal(detectKernel(writeElf({ wordSize: 4, entry: 0x100000, segments: [both] })), 'multiboot');
});

test('a kernel with only a multiboot 2 header is recognised and refused', () => {
  const header = u32(0xe85250d6, 0, 16, 2 ** 32 - ((0xe85250d6 + 16) % 2 ** 32));
  const kernel = concat(header, new Uint8Array(16));
  assert.equal(detectKernel(kernel), 'multiboot2');
  const request = { kernel, commandLine: '', rsdp: 0, vga: false };
  assert.throws(() => loadKernel(flatMemory(4 << 20), request), { kind: 'unsupported', message: /multiboot 2/ });
});

test('no damage to a kernel file gives anything but a VirtsError', () => {
  const note = { type: 4, physicalAddress: 0, bytes: elfNote('Xen', 18, u32(0x100000)) };
  const whole = writeElf({ wordSize: 8, entry: 0x100000, segments: [note, code] });
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const kernel = whole.slice();
      kernel[at] = value;
      try {
        loadKernel(flatMemory(2 << 20), { kernel, commandLine: '', rsdp: 0, vga: false });
      } catch (error) {
        assert.equal((error as Error).name, 'VirtsError', `byte ${at} = ${value}: ${error}`);
      }
    }
  }
});
