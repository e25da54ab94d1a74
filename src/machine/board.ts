/** The board of a PC: makes the devices, wires them and places them on the buses, as a board description says. */
import { VirtsError } from '../base/errors.ts';
import { type AcpiPm, createAcpiPm } from '../devices/acpi-pm/acpi-pm.ts';
import { createDebugExit } from '../devices/debug-exit/debug-exit.ts';
import type { Device } from '../devices/device.ts';
import { createHpet, type Hpet } from '../devices/hpet/hpet.ts';
import type { I8042 } from '../devices/i8042/i8042.ts';
import type { LocalApic } from '../devices/local-apic/local-apic.ts';
import type { Serial } from '../devices/serial/serial.ts';
import type { VirtioBalloon } from '../devices/virtio-balloon/virtio-balloon.ts';
import type { VirtioConsole } from '../devices/virtio-console/virtio-console.ts';
import type { VirtioNet } from '../devices/virtio-net/virtio-net.ts';
import { type BoardDescription, STANDARD_BOARD } from '../firmware/board-description.ts';
import type { Moves } from './address-space.ts';
import type { BoardOptions, PartOptions } from './board-options.ts';
import { type Bus, createMemoryBus, createPortBus } from './bus.ts';
import { cmosPresets } from './cmos.ts';
import { attachDebugPorts } from './debug-ports.ts';
import { restoreDevices, type SavedDevice, saveDevices } from './device-state.ts';
import { onceEach } from './guest-log.ts';
import { createInterruptCore, type InterruptCore } from './interrupt-core.ts';
import type { VcpuInterrupts } from './interrupts.ts';
import { createLegacyDevices } from './legacy-devices.ts';
import { type VcpuMemory, withLocalApic } from './local-apic-page.ts';
import { createPciSide, type PciSide, placeMoves } from './pci-devices.ts';
import { leaveAsFirmware } from './power-on.ts';

export interface Board {
  readonly description: BoardDescription;
  /** All devices, in the order in which they are reset, saved and restored. */
  readonly devices: readonly Device[];
  readonly ports: Bus;
  /** Guest-physical addresses that no RAM is behind, as each vCPU sees them: its own local APIC included. */
  readonly vcpuMemory: readonly VcpuMemory[];
  /** `vcpuMemory[0]`. */
  readonly mmio: VcpuMemory;
  readonly interrupts: readonly VcpuInterrupts[];
  readonly localApics: readonly LocalApic[];
  readonly serial: readonly Serial[];
  readonly i8042: I8042 | undefined;
  readonly virtioConsole: VirtioConsole | undefined;
  readonly virtioNet: VirtioNet | undefined;
  readonly virtioBalloon: VirtioBalloon | undefined;
  pressPowerButton(): void;
  /** A non-maskable interrupt to every vCPU, as from a button. */
  nmi(): void;
  /** Between slices of guest code: takes up what back ends in other threads answered. */
  poll(): void;
  /** Whether no back end uses guest memory: it may be put to other use, or the machine thrown away. */
  settled(): boolean;
  /** Power-on state, and what firmware sets up on top. CMOS memory stays. vCPUs and RAM are not the board's. */
  reset(): void;
  /** The state of all devices. No vCPU may run. Throws VirtsError 'unsupported'; see `saveDevices`. */
  save(): SavedDevice[];
  /** Guest memory and clock must be in place. Throws VirtsError 'bad-input'; see `restoreDevices`. */
  restore(saved: readonly SavedDevice[]): void;
}

/** Most queues of a device that has one for each vCPU. */
const MAX_QUEUES = 16;

/** I/O APIC inputs that the HPET may be routed to: those no other device uses. */
const HPET_INPUTS = [20, 21, 22, 23];

/**
 * Makes a board and resets it; where another thread has made it in the same memory, nothing of its state changes. Throws
 * VirtsError 'internal' for a description that cannot be wired.
 */
export function createBoard(options: BoardOptions): Board {
  const { description = STANDARD_BOARD, memory } = options;
  if (options.vcpus.length !== description.vcpus) {
    throw new VirtsError('internal', `The board has ${description.vcpus} vCPUs, not ${options.vcpus.length}.`);
  }
  const log = onceEach(options.log);
  const { structs } = options;
  const parts: PartOptions = { ...options, description, log, place: structs.place };
  const moves = placeMoves(structs.place);
  const ports = createPortBus(options.log, moves);
  const mmio = createMemoryBus(options.log, moves);

  const core = createInterruptCore(parts);
  const acpiPm = powerManagement(parts, core);
  const legacy = createLegacyDevices(parts, core.lines, acpiPm.rtcAlarm);
  const hpet = timerBlock(parts, core);
  const debugExit = createDebugExit({ place: parts.place, exit: options.debugExit });
  const pci = pciSide(parts, core, ports, mmio, moves);

  const devices: readonly Device[] = [
    ...core.devices,
    ...legacy.devices,
    ...(hpet === undefined ? [] : [hpet]),
    acpiPm,
    debugExit,
    ...(pci?.devices ?? []),
  ];
  attachCore(ports, parts, core, acpiPm, pci);
  legacy.attach(ports);
  attachDebugPorts(ports, debugExit.regions.port, options.debugConsole);
  mmio.attach(description.ioApic.base, core.ioApic.regions.registers);
  if (hpet !== undefined && description.hpet !== undefined) mmio.attach(description.hpet.base, hpet.regions.registers);
  const vcpuMemory = core.localApics.map((apic) => withLocalApic(mmio, apic));
  function reset(): void {
    for (const device of devices) device.reset();
    leaveAsFirmware({ description, ports, pciBus: pci?.bus, bootstrapApic: core.localApics[0] });
  }

  if (!structs.joins) {
    for (const [at, value] of cmosPresets(description, memory.size)) legacy.rtc.preset(at, value);
    reset();
  }
  const polled = devices.filter((device) => device.poll !== undefined);
  const transferring = devices.filter((device) => device.settled !== undefined);

  return {
    description,
    devices,
    ports,
    vcpuMemory,
    mmio: vcpuMemory[0],
    interrupts: core.interrupts,
    localApics: core.localApics,
    serial: legacy.serial,
    i8042: legacy.i8042,
    virtioConsole: pci?.virtioConsole,
    virtioNet: pci?.virtioNet,
    virtioBalloon: pci?.virtioBalloon,
    pressPowerButton: () => acpiPm.pressPowerButton(),
    nmi() {
      for (const interrupts of core.interrupts) interrupts.nmi();
    },
    poll() {
      for (const device of polled) device.poll!();
    },
    settled: () => transferring.every((device) => device.settled!()),
    reset,
    save: () => saveDevices(devices, structs),
    restore: (saved) => restoreDevices(devices, structs, saved),
  };
}

function powerManagement(parts: PartOptions, { lines }: InterruptCore): AcpiPm {
  const { sci, timer32 } = parts.description.powerManagement;
  return createAcpiPm({
    name: 'acpi-pm',
    place: parts.place,
    timers: parts.timers,
    sci: lines.shared(sci.irq),
    powerOff: parts.powerOff,
    reset: parts.reset,
    log: parts.log,
    timerBits: timer32 ? 32 : 24,
  });
}

function timerBlock(parts: PartOptions, { lines, ioApic }: InterruptCore): Hpet | undefined {
  if (parts.description.hpet === undefined) return undefined;
  return createHpet({
    name: 'hpet',
    place: parts.place,
    timers: parts.timers,
    routes: Object.fromEntries(HPET_INPUTS.map((input) => [input, ioApic.inputs[input]])),
    legacy: [lines.shared(0), lines.shared(8)],
    replaceLegacy: lines.replaceLegacy,
  });
}

function pciSide(parts: PartOptions, core: InterruptCore, ports: Bus, mmio: Bus, moves: Moves): PciSide | undefined {
  const { pci } = parts.description;
  if (pci === undefined) return undefined;
  return createPciSide({
    pci,
    place: parts.place,
    memory: parts.memory,
    timers: parts.timers,
    ports,
    mmio,
    moves,
    routed: core.lines.routed,
    ioApicInputs: core.ioApic.inputs,
    msi: core.msi,
    random: parts.random,
    console: parts.console,
    network: parts.network,
    vsock: parts.vsock,
    disks: parts.disks ?? [],
    folders: parts.folders ?? [],
    queues: Math.min(parts.description.vcpus, MAX_QUEUES),
    reset: parts.reset,
    log: parts.log,
  });
}

/** Interrupt controllers, power management and PCI. The reset register lies inside PCI's address register. */
function attachCore(
  ports: Bus,
  parts: PartOptions,
  core: InterruptCore,
  acpiPm: AcpiPm,
  pci: PciSide | undefined,
): void {
  const { powerManagement: pm, reset } = parts.description;
  const { master, slave, elcr } = core.pic.regions;
  ports.attach(0x20, master);
  ports.attach(0xa0, slave);
  ports.attach(0x4d0, elcr);
  ports.attach(pm.event, acpiPm.regions.event);
  ports.attach(pm.control, acpiPm.regions.control);
  ports.attach(pm.timer, acpiPm.regions.timer);
  ports.attach(pm.gpe0.port, acpiPm.regions.gpe0);
  ports.attach(pm.smiCommand, acpiPm.regions.smi);
  if (pci === undefined) {
    ports.attach(reset.port, acpiPm.regions.resetControl);
    return;
  }
  ports.attach(0xcf8, pci.bus.regions.address);
  ports.attach(0xcfc, pci.bus.regions.data);
  ports.attach(reset.port, pci.resetControl, { shadow: true });
}
