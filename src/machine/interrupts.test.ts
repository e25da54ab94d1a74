import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGISTER } from '../devices/local-apic/registers.ts';
import { pirqOf } from '../devices/pci/bus.ts';
import type { InterruptPin } from '../devices/pci/config-space.ts';
import { pciInterrupt, STANDARD_BOARD } from '../firmware/board-description.ts';
import { type BoardRig, boardRig } from './board.test-helper.ts';
import { pirqTarget } from './pci-wiring.ts';

const HPET = 0xfed00000;
const LEVEL = 0x8000;

const eoi = ({ write32 }: BoardRig) => write32(0xfee00000 + REGISTER.eoi, 0);

/** Makes the guest use the local APIC alone, as it does once the I/O APIC is set up. */
function silencePics({ out }: BoardRig): void {
  out(0x21, 0xff);
  out(0xa1, 0xff);
}

/** Enables COM1's received-data interrupt and gives it a byte. */
function raiseSerial({ out, board }: BoardRig): void {
  out(0x3fc, 0x0b);
  out(0x3f9, 1);
  board.serial[0].receive(Uint8Array.of(1));
}

test('an ISA request reaches both the PICs and its I/O APIC input', () => {
  const rig = boardRig();
  const [vcpu] = rig.board.interrupts;
  rig.route(4, 0x44);
  rig.out(0x21, 0xef);
  raiseSerial(rig);
  // The PICs' interrupt goes before the APIC's.
  assert.equal(vcpu.acknowledge(), 0x0c);
  assert.equal(vcpu.acknowledge(), 0x44);
  assert.equal(vcpu.pending(), false);
});

test('request 0 arrives at input 2 of the I/O APIC', () => {
  const rig = boardRig();
  silencePics(rig);
  rig.route(0, 0x40);
  rig.route(2, 0x42);
  rig.out(0x43, 0x34);
  rig.out(0x40, 0x00, 0x10);
  rig.pass(5_000_000);
  assert.equal(rig.board.interrupts[0].acknowledge(), 0x42);
  assert.equal(rig.board.interrupts[0].pending(), false);
});

test('devices on one request are joined by OR', () => {
  const description = { ...STANDARD_BOARD, serial: [0x3f8, 0x3e8].map((port) => ({ port, irq: 4 })) };
  const rig = boardRig({ description });
  const [vcpu] = rig.board.interrupts;
  silencePics(rig);
  rig.route(4, LEVEL | 0x44);
  for (const base of [0x3f8, 0x3e8]) rig.out(base + 4, 0x0b);
  for (const base of [0x3f8, 0x3e8]) rig.out(base + 1, 1);
  rig.board.serial[0].receive(Uint8Array.of(1));
  rig.board.serial[1].receive(Uint8Array.of(2));
  assert.equal(vcpu.acknowledge(), 0x44);
  rig.inb(0x3f8);
  eoi(rig);
  assert.equal(vcpu.acknowledge(), 0x44);
  rig.inb(0x3e8);
  eoi(rig);
  assert.equal(vcpu.pending(), false);
});

test('while the local APIC masks LINT0 the PICs are not heard, and a request is not lost', () => {
  const rig = boardRig();
  const [vcpu] = rig.board.interrupts;
  const lint0 = 0xfee00000 + REGISTER.lvt + 0x30;
  rig.write32(lint0, 0x10700);
  rig.out(0x21, 0xef);
  raiseSerial(rig);
  assert.equal(vcpu.pending(), false);
  assert.equal(vcpu.acknowledge(), -1);
  rig.write32(lint0, 0x700);
  assert.equal(vcpu.acknowledge(), 0x0c);
});

test('without a local APIC the PICs reach the processor directly', () => {
  const rig = boardRig();
  assert.ok(rig.board.localApics[0].writeMsr(0x1b, 0xfee00100n));
  rig.out(0x21, 0xef);
  raiseSerial(rig);
  assert.equal(rig.board.interrupts[0].acknowledge(), 0x0c);
});

test('an ExtINT entry at input 0 of the I/O APIC lets the PICs through as well', () => {
  const rig = boardRig();
  rig.write32(0xfee00000 + REGISTER.lvt + 0x30, 0x10000);
  rig.route(0, 0x700);
  rig.out(0x21, 0xef);
  raiseSerial(rig);
  assert.equal(rig.board.interrupts[0].acknowledge(), 0x0c);
  assert.equal(rig.board.interrupts[0].pending(), false);
});

test('HPET legacy replacement silences PIT and RTC, and its end lets them be heard again', () => {
  const rig = boardRig();
  const [vcpu] = rig.board.interrupts;
  silencePics(rig);
  rig.route(2, 0x42);
  rig.route(8, 0x48);
  const periodicRtc = () => {
    rig.out(0x70, 0x0b);
    rig.out(0x71, 0x42);
  };
  rig.write32(HPET + 0x10, 3);
  rig.out(0x43, 0x34);
  rig.out(0x40, 0x00, 0x10);
  periodicRtc();
  rig.pass(20_000_000);
  assert.equal(vcpu.pending(), false);
  // Comparator 0: one-shot, edge, enabled, 32 bits, a hundred ticks from now.
  rig.write32(HPET + 0x100, 0x104);
  rig.write32(HPET + 0x108, rig.read32(HPET + 0xf0) + 100);
  rig.pass(1_000_000);
  assert.equal(vcpu.acknowledge(), 0x42);
  eoi(rig);
  rig.write32(HPET + 0x10, 1);
  rig.pass(20_000_000);
  assert.equal(vcpu.acknowledge(), 0x48);
  eoi(rig);
  assert.equal(vcpu.acknowledge(), 0x42);
});

test('an HPET comparator can have an I/O APIC input of its own', () => {
  const rig = boardRig();
  silencePics(rig);
  rig.route(21, 0x61);
  rig.write32(HPET + 0x10, 1);
  rig.write32(HPET + 0x140, 0x104 | (21 << 9));
  rig.write32(HPET + 0x148, rig.read32(HPET + 0xf0) + 100);
  rig.pass(1_000_000);
  assert.equal(rig.board.interrupts[0].acknowledge(), 0x61);
});

test('PIRQ wires and the description agree for every slot and pin', () => {
  const { pci } = STANDARD_BOARD;
  assert.ok(pci);
  for (let slot = 0; slot < 32; slot++) {
    for (const pin of [1, 2, 3, 4] as InterruptPin[]) {
      assert.deepEqual(pirqTarget(pci, pirqOf(slot, pin)), pciInterrupt(pci, slot, pin - 1), `${slot} ${pin}`);
    }
  }
});

/** Makes the virtio console in slot 3 assert INTA#: driver steps up to DRIVER_OK, then a fault in its queue. */
function raiseVirtio(rig: BoardRig): number {
  const bar = rig.readConfig(3, 0x10, 4);
  const { mmio } = rig.board;
  rig.writeConfig(3, 4, 2, 6);
  mmio.write(bar + 0x14, 1, 3);
  mmio.write(bar + 0x08, 4, 1);
  mmio.write(bar + 0x0c, 4, 1);
  mmio.write(bar + 0x14, 1, 0x0b);
  mmio.write(bar + 0x14, 1, 0x0f);
  assert.equal(mmio.read(bar + 0x14, 1), 0x0f);
  // A ring that is not aligned is the driver's fault, of which a configuration interrupt tells.
  mmio.write(bar + 0x16, 2, 0);
  mmio.write(bar + 0x20, 4, 0x1001);
  mmio.write(bar + 0x1c, 2, 1);
  return bar;
}

test('a PCI interrupt arrives level-triggered at the I/O APIC and, as routed, at the PICs', () => {
  const rig = boardRig();
  const [vcpu] = rig.board.interrupts;
  const { pci } = STANDARD_BOARD;
  assert.ok(pci);
  const { gsi, irq } = pciInterrupt(pci, 3, 0);
  rig.out(0xa1, 0xff & ~(1 << (irq - 8)));
  rig.out(0x21, 0xfb);
  rig.route(gsi, LEVEL | 0x55);
  rig.route(irq, LEVEL | 0x66);
  const bar = raiseVirtio(rig);
  assert.equal(vcpu.acknowledge(), 0x70 + irq - 8);
  assert.equal(vcpu.acknowledge(), 0x55);
  assert.equal(vcpu.acknowledge(), -1);
  eoi(rig);
  assert.equal(vcpu.acknowledge(), 0x55);
  assert.equal(rig.board.mmio.read(bar + 0x1000, 1), 2);
  eoi(rig);
  rig.out(0xa0, 0x20);
  rig.out(0x20, 0x20);
  assert.equal(vcpu.pending(), false);
});

test('NMI goes to every vCPU that lets it through', () => {
  const rig = boardRig({ description: { ...STANDARD_BOARD, vcpus: 2 } });
  rig.board.nmi();
  assert.deepEqual(rig.asked, ['nmi 0']);
  rig.board.interrupts[0].nmi();
  assert.deepEqual(rig.asked, ['nmi 0', 'nmi 0']);
});
