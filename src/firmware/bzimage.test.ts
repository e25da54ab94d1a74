import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { flatMemory } from '../memory/guest-memory.ts';
import { detectKernel, loadKernel } from './kernel.ts';
import { LAYOUT } from './layout.ts';
import type { BootRequest } from './loader.ts';

const MIB = 0x100000;

interface Fields {
  version?: number;
  loadFlags?: number;
  xloadFlags?: number;
  relocatable?: boolean;
  alignment?: number;
  preferred?: bigint;
  initSize?: number;
  initrdMax?: number;
  commandLineSize?: number;
}

/** Two setup sectors and 64 bytes of "code" 0x11, 0x12... */
function bzImage(fields: Fields = {}): Uint8Array {
  const file = new Uint8Array(3 * 512 + 64);
  const view = new DataView(file.buffer);
  file[0x1f1] = 2;
  view.setUint32(0x1f4, 4, true);
  view.setUint16(0x1fe, 0xaa55, true);
  file.set([0xeb, 0x6a], 0x200);
  file.set(new TextEncoder().encode('HdrS'), 0x202);
  view.setUint16(0x206, fields.version ?? 0x20f, true);
  file[0x211] = fields.loadFlags ?? 1;
  view.setUint32(0x22c, fields.initrdMax ?? 0x7fffffff, true);
  view.setUint32(0x230, fields.alignment ?? 0x200000, true);
  file[0x234] = (fields.relocatable ?? true) ? 1 : 0;
  view.setUint16(0x236, fields.xloadFlags ?? 1, true);
  view.setUint32(0x238, fields.commandLineSize ?? 2047, true);
  view.setBigUint64(0x258, fields.preferred ?? 0x1000000n, true);
  view.setUint32(0x260, fields.initSize ?? 4 * MIB, true);
  for (let i = 0; i < 64; i++) file[3 * 512 + i] = 0x11 + i;
  return file;
}

function request(kernel: Uint8Array, rest: Partial<BootRequest> = {}): BootRequest {
  return { kernel, commandLine: 'console=ttyS0', rsdp: 0xf0000, vga: false, ...rest };
}

function fails(action: () => unknown, kind: string, sentence: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof VirtsError);
    assert.equal(error.kind, kind);
    assert.match(error.message, sentence);
    return true;
  });
}

test('the 64-bit entry starts in long mode on identity page tables with RSI at the zero page', () => {
  const memory = flatMemory(32 * MIB);
  const { format, entry } = loadKernel(memory, request(bzImage()));
  assert.equal(format, 'bzimage');
  assert.equal(entry.mode, 'long');
  assert.equal(entry.rip, 0x1000200n);
  assert.equal(entry.registers.rsi, BigInt(LAYOUT.zeroPage.base));
  assert.equal(entry.rflags & 0x200n, 0n, 'interrupts off');
  assert.equal(entry.cr0, 0x80000011n);
  assert.equal(entry.cr4, 0x20n);
  assert.equal(entry.efer, 0x500n);
  assert.equal(entry.segments.cs.selector, 0x10);
  assert.equal(entry.segments.ss.selector, 0x18);
  assert.deepEqual([...memory.bytes.subarray(0x1000000, 0x1000003)], [0x11, 0x12, 0x13]);
  const view = new DataView(memory.bytes.buffer);
  const walk = (address: number) => {
    const level = (table: number, index: number) => Number(view.getBigUint64(table + index * 8, true));
    const pdpt = level(Number(entry.cr3), 0) & ~0xfff;
    const directory = level(pdpt, Math.floor(address / 2 ** 30)) & ~0xfff;
    return level(directory, Math.floor(address / 2 ** 21) % 512);
  };
  for (const address of [0, 0x1000000, 0xdfe00000, 0xffe00000]) assert.equal(walk(address), address + 0x83);
});

test('the boot GDT holds the descriptors that the entry state has loaded', () => {
  for (const [xloadFlags, codeDescriptor] of [
    [1, 0x00af9b000000ffffn],
    [0, 0x00cf9b000000ffffn],
  ] as const) {
    const memory = flatMemory(32 * MIB);
    const { entry } = loadKernel(memory, request(bzImage({ xloadFlags })));
    const view = new DataView(memory.bytes.buffer, entry.gdt.base, entry.gdt.limit + 1);
    assert.equal(view.getBigUint64(entry.segments.cs.selector, true), codeDescriptor);
    assert.equal(view.getBigUint64(entry.segments.ds.selector, true), 0x00cf93000000ffffn);
    assert.equal(view.getBigUint64(entry.segments.tr.selector, true), 0x00008b0000000067n);
  }
});

test('a kernel without the 64-bit entry starts in flat protected mode at its load address', () => {
  const { entry } = loadKernel(flatMemory(32 * MIB), request(bzImage({ xloadFlags: 0, alignment: 0x1000000 })));
  assert.equal(entry.mode, 'protected');
  assert.equal(entry.rip, 0x1000000n);
  assert.equal(entry.cr0, 0x11n);
  assert.equal(entry.efer, 0n);
  assert.equal(entry.registers.rsi, BigInt(LAYOUT.zeroPage.base));
  for (const name of ['rbp', 'rdi', 'rbx'] as const) assert.equal(entry.registers[name], 0n);
});

test('the zero page passes on header, memory map, command line, initrd and RSDP', () => {
  const memory = flatMemory(32 * MIB);
  const initrd = new Uint8Array(5000).fill(0xab);
  const loaded = loadKernel(memory, request(bzImage(), { initrd }));
  const page = new DataView(memory.bytes.buffer, LAYOUT.zeroPage.base, 4096);
  assert.equal(page.getUint32(0x202, true), 0x53726448);
  assert.equal(page.getUint8(0x210), 0xff);
  assert.equal(page.getBigUint64(0x70, true), 0xf0000n);
  assert.deepEqual(loaded.initrd, { base: 32 * MIB - 0x2000, size: 5000 });
  assert.equal(page.getUint32(0x218, true), 32 * MIB - 0x2000);
  assert.equal(page.getUint32(0x21c, true), 5000);
  assert.equal(memory.bytes[32 * MIB - 0x2000 + 4999], 0xab);
  const text = memory.bytes.subarray(page.getUint32(0x228, true));
  assert.equal(new TextDecoder().decode(text.subarray(0, 14)), 'console=ttyS0\0');
  const ranges = Array.from({ length: page.getUint8(0x1e8) }, (_, i) => [
    Number(page.getBigUint64(0x2d0 + i * 20, true)),
    Number(page.getBigUint64(0x2d8 + i * 20, true)),
    page.getUint32(0x2e0 + i * 20, true),
  ]);
  assert.deepEqual(ranges, [
    [0, 0x9fc00, 1],
    [0x9fc00, 0x400, 2],
    [0xe0000, 0x20000, 2],
    [0x100000, 31 * MIB, 1],
  ]);
});

test('a VGA text screen is announced only if there is one', () => {
  const memory = flatMemory(32 * MIB);
  const isVga = () => memory.bytes[LAYOUT.zeroPage.base + 0x0f];
  loadKernel(memory, request(bzImage()));
  assert.equal(isVga(), 0);
  loadKernel(memory, request(bzImage(), { vga: true }));
  assert.equal(isVga(), 1);
});

test('the initrd respects the limit of the kernel and keeps clear of it', () => {
  const initrd = new Uint8Array(MIB);
  const place = (fields: Fields, size = 64) =>
    loadKernel(flatMemory(size * MIB), request(bzImage(fields), { initrd })).initrd;
  assert.equal(place({ initrdMax: 0x2ffffff })?.base, 47 * MIB);
  // From 16 to 31.5 MiB is the kernel's: below it is the highest place left.
  assert.equal(place({ initSize: 15.5 * MIB }, 32)?.base, 15 * MIB);
});

test('old protocols get the defaults of their time', () => {
  const old = bzImage({ version: 0x202, xloadFlags: 1, relocatable: true });
  const loaded = loadKernel(flatMemory(1024 * MIB), request(old, { initrd: new Uint8Array(4096) }));
  assert.equal(loaded.entry.mode, 'protected');
  assert.equal(loaded.entry.rip, 0x100000n);
  assert.equal(loaded.initrd?.base, 0x38000000 - 4096);
  fails(() => loadKernel(flatMemory(32 * MIB), request(old, { commandLine: 'x'.repeat(256) })), 'usage', /at most 255/);
});

test('a relocatable kernel is loaded at its alignment', () => {
  const { entry } = loadKernel(flatMemory(64 * MIB), request(bzImage({ preferred: 0x1000000n, alignment: 0x2000000 })));
  assert.equal(entry.rip, 0x2000200n);
});

test('too little memory, a large initrd and a long command line are told in a sentence', () => {
  const load = (size: number, fields: Fields, rest: Partial<BootRequest> = {}) => {
    return () => loadKernel(flatMemory(size), request(bzImage(fields), rest));
  };
  fails(load(16 * MIB, {}), 'no-space', /needs at least 20 MiB to start, the machine has 16 MiB/);
  fails(load(MIB, {}), 'no-space', /memory/);
  const large = { initrd: new Uint8Array(20 * MIB) };
  fails(load(32 * MIB, {}, large), 'no-space', /initrd \(20 MiB\) does not fit.*at least 40 MiB/);
  fails(load(64 * MIB, { initrdMax: 0x1ffffff }, large), 'no-space', /wants it below 32 MiB/);
  fails(load(32 * MIB, {}, { commandLine: 'x'.repeat(2048) }), 'usage', /2048 bytes.*at most 2047/);
  fails(load(32 * MIB, {}, { commandLine: 'a\0b' }), 'usage', /NUL/);
  fails(load(32 * MIB, { preferred: 1n << 40n }), 'bad-input', /damaged/);
  fails(load(32 * MIB, { alignment: 3 }), 'bad-input', /damaged/);
  fails(load(32 * MIB, { loadFlags: 0 }), 'unsupported', /zImage/);
  fails(load(32 * MIB, { version: 0x201 }), 'unsupported', /2\.02/);
  load(20 * MIB, {})();
  load(32 * MIB, {}, { commandLine: 'x'.repeat(2047) })();
});

test('every truncation is noticed', () => {
  const whole = bzImage();
  for (const length of [0x206, 0x263, 3 * 512, whole.length - 1]) {
    fails(() => detectKernel(whole.subarray(0, length)), 'bad-input', /truncated/);
  }
  assert.equal(detectKernel(whole), 'bzimage');
});

test('loading over the remains of an earlier boot gives the same memory', () => {
  const fresh = flatMemory(32 * MIB);
  const used = flatMemory(32 * MIB);
  loadKernel(used, request(bzImage(), { vga: true, commandLine: 'a much longer command line than the other' }));
  for (const memory of [fresh, used]) loadKernel(memory, request(bzImage()));
  const { base, size } = LAYOUT.zeroPage;
  assert.deepEqual(used.bytes.subarray(base, base + size), fresh.bytes.subarray(base, base + size));
});
