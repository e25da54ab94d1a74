/** The differentiated system description table: the devices that cannot be found by probing a bus. */
import { type BoardDescription, type PciBoard, pciInterrupt } from '../board-description.ts';
import {
  type Aml,
  argument,
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
import { table } from './table.ts';

const PCI_DEVICES = 32;
const PCI_PINS = 4;
/** Configuration address and data; the reset control register lies between them. */
const PCI_CONFIGURATION = { port: 0xcf8, size: 8 };
const HPET_SIZE = 0x400;

export function dsdt(board: BoardDescription): Uint8Array {
  const { sleepTypeS5 } = board.powerManagement;
  return table(
    'DSDT',
    2,
    // 0 while the system uses the PICs, 1 with the I/O APIC; it says so through _PIC.
    name('PICF', integer(0)),
    method('\\_PIC', 1, store(argument(0), nameString('PICF'))),
    name('\\_S5', packageOf(integer(sleepTypeS5), integer(sleepTypeS5), integer(0), integer(0))),
    scope('\\_SB', ...processors(board.vcpus), ...(board.pci ? [hostBridge(board.pci, board.vga)] : [])),
    scope('\\_SB', ...boardDevices(board)),
  );
}

function processors(count: number): Aml[] {
  return Array.from({ length: count }, (_, n) =>
    device(
      `C${n.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', string('ACPI0007')),
      name('_UID', integer(n)),
    ),
  );
}

function hostBridge(pci: PciBoard, vga: boolean): Aml {
  const windows = resourceTemplate(
    busNumbers(0, pci.lastBus),
    io(PCI_CONFIGURATION.port, PCI_CONFIGURATION.size),
    ioWindow(0, PCI_CONFIGURATION.port - 1),
    ioWindow(PCI_CONFIGURATION.port + PCI_CONFIGURATION.size, 0xffff),
    ...(vga ? [memoryWindow(0xa0000, 0xbffff)] : []),
    memoryWindow(pci.memory.base, pci.memory.end - 1),
  );
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_BBN', integer(0)),
    name('_CRS', windows),
    name('PRTA', routing(pci, 'gsi')),
    name('PRTP', routing(pci, 'irq')),
    method('_PRT', 0, ifTrue(nameString('PICF'), returns(nameString('PRTA'))), returns(nameString('PRTP'))),
  );
}

/** Hard-wired interrupts: [any function of the device, pin, no link device, interrupt]. */
function routing(pci: PciBoard, controller: 'gsi' | 'irq'): Aml {
  const entries: Aml[] = [];
  for (let slot = 0; slot < PCI_DEVICES; slot++) {
    for (let pin = 0; pin < PCI_PINS; pin++) {
      const interrupt = pciInterrupt(pci, slot, pin)[controller];
      entries.push(packageOf(integer(slot * 0x10000 + 0xffff), integer(pin), integer(0), integer(interrupt)));
    }
  }
  return packageOf(...entries);
}

function plugAndPlay(path: string, id: string, ...resources: readonly Uint8Array[]): Aml {
  return device(path, name('_HID', eisaId(id)), name('_CRS', resourceTemplate(...resources)));
}

function boardDevices(board: BoardDescription): Aml[] {
  const { rtc, ps2, hpet, serial, reservedPorts } = board;
  const result = [
    plugAndPlay('PIC', 'PNP0000', io(0x20, 2), io(0xa0, 2), irq(2)),
    plugAndPlay('TIMR', 'PNP0100', io(0x40, 4), irq(0)),
    plugAndPlay('RTC', 'PNP0B00', io(rtc.port, 2), irq(rtc.irq)),
    plugAndPlay('FPU', 'PNP0C04', io(0xf0, 1), irq(13)),
    plugAndPlay('MBRD', 'PNP0C02', ...reservedPorts.map(({ port, size }) => io(port, size))),
  ];
  if (ps2) {
    result.push(plugAndPlay('KBD', 'PNP0303', io(0x60, 1), io(0x64, 1), irq(ps2.keyboardIrq)));
    result.push(plugAndPlay('MOU', 'PNP0F13', irq(ps2.mouseIrq)));
  }
  if (hpet) result.push(plugAndPlay('HPET', 'PNP0103', memory32Fixed(hpet.base, HPET_SIZE)));
  for (const [i, uart] of serial.entries()) {
    const resources = resourceTemplate(io(uart.port, 8), irq(uart.irq));
    result.push(
      device(`COM${i + 1}`, name('_HID', eisaId('PNP0501')), name('_UID', integer(i + 1)), name('_CRS', resources)),
    );
  }
  return result;
}
