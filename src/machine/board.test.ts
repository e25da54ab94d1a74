import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtsError } from '../base/errors.ts';
import { ACPI_PM } from '../devices/acpi-pm/acpi-pm.ts';
import { REGISTER } from '../devices/local-apic/registers.ts';
import { type BoardDescription, pciInterrupt, STANDARD_BOARD } from '../firmware/board-description.ts';
import { boardRig, MEMORY_SIZE } from './board.test-helper.ts';

test('the description tells of power management what the device does', () => {
  const pm = STANDARD_BOARD.powerManagement;
  assert.deepEqual(
    [pm.acpiEnable, pm.acpiDisable, pm.sleepTypeS5, pm.gpe0.size, STANDARD_BOARD.reset.value],
    [ACPI_PM.acpiEnable, ACPI_PM.acpiDisable, ACPI_PM.s5SleepType, ACPI_PM.gpe0Length, ACPI_PM.resetValue],
  );
});

test('nothing waits after a reset, and nothing was said', () => {
  const { board, said, asked } = boardRig();
  assert.equal(board.interrupts[0].pending(), false);
  assert.equal(board.interrupts[0].acknowledge(), -1);
  assert.deepEqual([said, asked], [[], []]);
});

test('PIC and PIT as Linux sets them up: a tick arrives as its vector, through LINT0', () => {
  const { board, out, pass } = boardRig();
  out(0x20, 0x11);
  out(0x21, 0x30, 0x04, 0x01);
  out(0xa0, 0x11);
  out(0xa1, 0x38, 0x02, 0x01, 0xff);
  out(0x21, 0xfe);
  out(0x43, 0x34);
  out(0x40, 11932 & 0xff, 11932 >> 8);
  pass(9_900_000);
  assert.equal(board.interrupts[0].pending(), false);
  pass(200_000);
  assert.equal(board.interrupts[0].pending(), true);
  assert.equal(board.interrupts[0].acknowledge(), 0x30);
  assert.equal(board.interrupts[0].pending(), false);
  pass(10_000_000);
  assert.equal(board.interrupts[0].pending(), false);
  out(0x20, 0x20);
  assert.equal(board.interrupts[0].acknowledge(), 0x30);
});

test('a serial port passes the loopback test, sends, receives and interrupts', () => {
  const { board, out, inb, output } = boardRig();
  const base = 0x3f8;
  out(base + 4, 0x1e);
  assert.equal(inb(base + 6) & 0xf0, 0xd0);
  out(base, 0x5a);
  assert.equal(inb(base), 0x5a);
  assert.deepEqual(output, []);
  out(base + 4, 0x0b);
  out(base, ...Buffer.from('ok'));
  assert.deepEqual(output, [...Buffer.from('ok')]);
  out(0x21, 0xef);
  out(base + 1, 1);
  assert.equal(board.serial[0].receive(Uint8Array.of(0x41)), 1);
  assert.equal(board.interrupts[0].acknowledge(), 0x08 + 4);
  assert.equal(inb(base), 0x41);
  assert.equal(inb(0x2f8 + 5) & 0x60, 0x60);
});

test('a PCI scan finds the chipset and the virtio devices, with addresses and interrupt lines', () => {
  const { readConfig, writeConfig, read32, board } = boardRig();
  const ids = Array.from({ length: 32 }, (_, slot) => readConfig(slot, 0, 4));
  assert.deepEqual(ids.slice(0, 5), [0x12378086, 0x70008086, 0x10441af4, 0x10431af4, 0x10451af4]);
  assert.ok(ids.slice(5).every((id) => id === 0xffffffff));
  const { pci } = STANDARD_BOARD;
  assert.ok(pci);
  const seen = new Set<number>();
  for (const slot of [2, 3, 4]) {
    assert.equal(readConfig(slot, 4, 2) & 3, 2);
    assert.equal(readConfig(slot, 0x3c, 1), pciInterrupt(pci, slot, 0).irq);
    for (const register of [0x10, 0x14]) {
      const address = readConfig(slot, register, 4);
      assert.ok(address >= pci.memory.base && address < pci.memory.end && !seen.has(address));
      seen.add(address);
    }
    const bar = readConfig(slot, 0x10, 4);
    const queues = [1, 2, 4][slot - 2];
    assert.equal(board.mmio.read(bar + 0x12, 2), queues);
    writeConfig(slot, 4, 2, 0);
    assert.equal(read32(bar), 0xffffffff);
    writeConfig(slot, 4, 2, 2);
    assert.equal(board.mmio.read(bar + 0x12, 2), queues);
  }
});

test('a BAR that a guest puts over the I/O APIC or RAM harms nothing', () => {
  const { readConfig, writeConfig, write32, read32 } = boardRig();
  const home = readConfig(2, 0x10, 4);
  for (const address of [0xfec00000, 0x1000, 0xfffff000, 0xfee00000]) {
    writeConfig(2, 0x10, 4, address);
    write32(0xfec00000, 1);
    assert.equal(read32(0xfec00010), 0x170020, address.toString(16));
  }
  writeConfig(2, 0x10, 4, home);
  assert.equal(read32(home), 0);
});

test('the clock tells the date, and CMOS the memory', () => {
  const { out, inb, pass } = boardRig();
  const cmos = (at: number) => {
    out(0x70, at);
    return inb(0x71);
  };
  pass(2_000_000_000);
  const date = [0x32, 9, 8, 7, 4, 2, 0].map((at) => cmos(at).toString(16));
  assert.deepEqual(date, ['20', '26', '1', '2', '3', '4', '7']);
  assert.equal((cmos(0x31) << 8) | cmos(0x30), (MEMORY_SIZE - 0x100000) / 1024);
  assert.equal((cmos(0x16) << 8) | cmos(0x15), 640);
  let sum = 0;
  for (let at = 0x10; at <= 0x2d; at++) sum += cmos(at);
  assert.equal((cmos(0x2e) << 8) | cmos(0x2f), sum);
});

test('ACPI mode, power button, and power off', () => {
  const { board, out, asked } = boardRig();
  const { ports } = board;
  out(0xb2, 0xf1);
  assert.equal(ports.read(0x604, 2) & 1, 1);
  ports.write(0x602, 2, 0x100);
  out(0xa1, 0xfd);
  out(0x21, 0xfb);
  board.pressPowerButton();
  assert.equal(board.interrupts[0].acknowledge(), 0x71);
  assert.equal(ports.read(0x600, 2), 0x100);
  ports.write(0x604, 2, (5 << 10) | 0x2000);
  assert.deepEqual(asked, ['power off']);
  const before = ports.read(0x608, 4);
  assert.ok(before >= 0);
});

test('every way to ask for a reset', () => {
  const { out, asked } = boardRig();
  out(0xcf9, 2, 6);
  out(0x64, 0xfe);
  out(0x92, 1);
  assert.deepEqual(asked, ['reset', 'reset', 'reset']);
});

test('debug exit, debug consoles and the POST port', () => {
  const bytes: number[] = [];
  const { board, out, inb, asked, said } = boardRig({ debugConsole: (byte) => bytes.push(byte) });
  board.ports.write(0xf4, 4, 0x21);
  out(0xf4, 0);
  out(0x80, 1, 2, 3);
  assert.equal(inb(0xe9), 0xe9);
  out(0xe9, 0x41);
  out(0x402, 0x42);
  assert.deepEqual([asked, bytes, said], [['exit 67', 'exit 1'], [0x41, 0x42], []]);
  const quiet = boardRig();
  quiet.out(0xe9, 0x41);
  assert.equal(quiet.inb(0xe9), 0xff);
});

test('what a guest does again and again is said once', () => {
  const { out, inb, said } = boardRig();
  for (let i = 0; i < 10; i++) {
    inb(0x1f7);
    out(0xb2, 0x77);
  }
  assert.equal(said.length, 2);
});

test('the local APIC follows IA32_APIC_BASE', () => {
  const { board, read32 } = boardRig();
  const apic = board.localApics[0];
  assert.equal(read32(0xfee00000 + REGISTER.version) & 0xff, 0x14);
  assert.ok(apic.writeMsr(0x1b, 0xfe000900n));
  assert.equal(read32(0xfee00000 + REGISTER.version), 0xffffffff);
  assert.equal(read32(0xfe000000 + REGISTER.version) & 0xff, 0x14);
  assert.ok(apic.writeMsr(0x1b, 0xfe000100n));
  assert.equal(read32(0xfe000000 + REGISTER.version), 0xffffffff);
  board.reset();
  assert.equal(read32(0xfee00000 + REGISTER.version) & 0xff, 0x14);
});

test('each vCPU sees its own local APIC, and IPIs reach the others', () => {
  const { board, asked } = boardRig({ description: { ...STANDARD_BOARD, vcpus: 2 } });
  const ids = board.vcpuMemory.map((memory) => memory.read(0xfee00000 + REGISTER.id, 4) >>> 24);
  assert.deepEqual(ids, [0, 1]);
  const send = (low: number) => {
    board.mmio.write(0xfee00000 + REGISTER.icrHigh, 4, 1 << 24);
    board.mmio.write(0xfee00000 + REGISTER.icrLow, 4, low);
  };
  send(0x4500);
  send(0x4609);
  assert.deepEqual(asked, ['init 1', 'startup 1 9']);
  assert.throws(() => boardRig({ vcpus: [] }), VirtsError);
});

test('A20 is open while the keyboard controller or port 0x92 opens it', () => {
  const changes: boolean[] = [];
  const { out, board } = boardRig({ a20: (open) => changes.push(open) });
  const atStart = changes.at(-1);
  assert.ok(atStart === undefined || atStart);
  changes.length = 0;
  out(0x64, 0xdd);
  out(0x92, 2);
  out(0x64, 0xdf);
  out(0x92, 0);
  assert.deepEqual(changes, [false, true]);
  out(0x64, 0xdd);
  board.reset();
  assert.deepEqual(changes, [false, true, false, true]);
});

test('a board without PCI, HPET and keyboard controller works, reset register included', () => {
  const { pci: _pci, hpet: _hpet, ps2: _ps2, ...rest } = STANDARD_BOARD;
  const description: BoardDescription = { ...rest, serial: [{ port: 0x3f8, irq: 4 }] };
  const { board, out, inb, asked } = boardRig({ description });
  assert.equal(inb(0x2fd), 0xff);
  assert.equal(board.ports.read(0xcf8, 4), 0xffff00ff);
  out(0xcf9, 6);
  assert.deepEqual(asked, ['reset']);
  assert.equal(board.i8042, undefined);
});

test('a reset brings back the power-on state, but for the battery', () => {
  const rig = boardRig();
  const fresh = boardRig();
  const { out, writeConfig, readConfig, board, pass } = rig;
  out(0x70, 0x40);
  out(0x71, 0x99);
  out(0x21, 0);
  out(0x43, 0x36);
  writeConfig(2, 0x10, 4, 0xe8000000);
  writeConfig(2, 4, 2, 6);
  out(0x3f8 + 7, 0x5a);
  pass(70_000_000);
  board.reset();
  assert.equal(readConfig(2, 0x10, 4), fresh.readConfig(2, 0x10, 4));
  out(0x70, 0x40);
  assert.equal(rig.inb(0x71), 0x99);
  assert.equal(rig.inb(0x3ff), 0);
  assert.equal(rig.inb(0x21), 0xff);
  assert.equal(board.interrupts[0].pending(), false);
});
