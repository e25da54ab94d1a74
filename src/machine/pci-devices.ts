/** The PCI side of the board: bridges, and the devices in the slots behind them. */
import type { TimerService } from '../base/clock.ts';
import { struct } from '../base/struct.ts';
import type { DiskShape } from '../devices/block-port.ts';
import type { Device, GuestLog, Line, Place, Region } from '../devices/device.ts';
import { createPciBus, type PciBus } from '../devices/pci/bus.ts';
import type { PciFunction } from '../devices/pci/function.ts';
import { createHostBridge } from '../devices/pci/host-bridge.ts';
import { createIsaBridge } from '../devices/pci/isa-bridge.ts';
import type { VirtioPciOptions } from '../devices/virtio/pci-transport.ts';
import { createVirtioBalloon, type VirtioBalloon } from '../devices/virtio-balloon/virtio-balloon.ts';
import { createVirtioBlk } from '../devices/virtio-blk/virtio-blk.ts';
import {
  type ConsolePortOptions,
  createVirtioConsole,
  type VirtioConsole,
} from '../devices/virtio-console/virtio-console.ts';
import { createVirtioFs } from '../devices/virtio-fs/virtio-fs.ts';
import { createVirtioNet, type VirtioNet, type VirtioNetOptions } from '../devices/virtio-net/virtio-net.ts';
import { createVirtioRng } from '../devices/virtio-rng/virtio-rng.ts';
import { createVirtioVsock, type VirtioVsockOptions } from '../devices/virtio-vsock/virtio-vsock.ts';
import type { PciBoard } from '../firmware/board-description.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { IoConnection } from '../memory/io-link.ts';
import type { Moves } from './address-space.ts';
import type { Bus } from './bus.ts';
import { pirqWires } from './pci-wiring.ts';
import { SLOT } from './power-on.ts';

export interface PciOptions {
  readonly pci: PciBoard;
  readonly place: Place;
  readonly memory: GuestMemory;
  readonly timers: TimerService;
  readonly ports: Bus;
  readonly mmio: Bus;
  /** What tells the buses of all threads that BARs moved. */
  readonly moves: Moves;
  /** The ISA bridge's wires to the PICs, and the I/O APIC's inputs. */
  readonly routed: readonly Line[];
  readonly ioApicInputs: readonly Line[];
  readonly msi: (address: number, data: number) => void;
  readonly random: (bytes: Uint8Array) => void;
  readonly console: ConsoleOptions | undefined;
  readonly network: NetworkOptions | undefined;
  readonly vsock: VsockDeviceOptions | undefined;
  readonly disks: readonly DiskOptions[];
  readonly folders: readonly FolderOptions[];
  /** Queues of a device that has one for each vCPU. */
  readonly queues: number;
  readonly reset: () => void;
  readonly log: GuestLog;
}

export interface ConsoleOptions {
  readonly ports: readonly ConsolePortOptions[];
  /** Size of the terminal in characters, 0 while unknown. */
  readonly columns?: number;
  readonly rows?: number;
}

/** A network card and the wire that it is on. */
export type NetworkOptions = Pick<VirtioNetOptions, 'port' | 'mac' | 'mtu'>;
/** A socket device and the way to whoever serves its connections. */
export type VsockDeviceOptions = Pick<VirtioVsockOptions, 'port' | 'cid'>;
/** A disk and its back end. */
export interface DiskOptions {
  readonly shape: DiskShape;
  readonly connect: IoConnection;
  /** See VirtioBlkOptions. */
  readonly serial?: string | undefined;
}

/** A shared folder, its name for drivers, and the server that is its back end. */
export interface FolderOptions {
  readonly tag: string;
  readonly connect: IoConnection;
}

/** Slots for disks and for folders: the others are those of the bridges and of devices that there is one of. */
export const MAX_DISKS = 16;
export const MAX_FOLDERS = 8;

export interface PciSide {
  readonly bus: PciBus;
  readonly resetControl: Region;
  readonly virtioConsole: VirtioConsole | undefined;
  readonly virtioNet: VirtioNet | undefined;
  readonly virtioBalloon: VirtioBalloon;
  readonly devices: readonly Device[];
}

/** How often BARs have moved. Not saved: a restore moves them, too. */
const BAR_MOVES = struct('bar-moves', 1, { count: ['u32', 1] });

export function placeMoves(place: Place): Moves {
  return place(BAR_MOVES).count;
}

/** Puts a function's BARs on the buses. Those added first win where two overlap. */
function addBars(pci: PciFunction, ports: Bus, mmio: Bus): void {
  for (const bar of pci.bars) (bar.kind === 'io' ? ports : mmio).movable(bar.region, () => pci.address(bar));
}

/**
 * Host bridge, ISA bridge, entropy source, console, network card and socket device if asked for, disks, folders, and a balloon, from
 * slot 0 on.
 */
export function createPciSide(options: PciOptions): PciSide {
  const { place, memory, timers, log, msi, ports, mmio, moves } = options;
  const mapBar = () => {
    moves[0]++;
  };
  const isaBridge = createIsaBridge({
    name: 'piix3',
    place,
    irqs: options.routed,
    resetRequested: () => options.reset(),
  });
  const pirqs = pirqWires(options.pci, isaBridge.pirqs, options.ioApicInputs);
  const bus = createPciBus({ name: 'pci', place, pirqs });
  const hostBridge = createHostBridge({ name: 'i440fx', place });
  bus.attach(SLOT.hostBridge, 0, hostBridge.pci);
  bus.attach(SLOT.isaBridge, 0, isaBridge.pci);

  let slot: number = SLOT.firstDevice;
  const inNextSlot = (name: string): VirtioPciOptions => {
    return { name, place, memory, timers, intx: bus.intx(slot++, 0, 1), msi, mapBar, log };
  };
  const rng = createVirtioRng({ ...inNextSlot('virtio-rng'), random: options.random });
  const virtioConsole = options.console && createVirtioConsole({ ...inNextSlot('virtio-console'), ...options.console });
  const virtioNet = options.network && createVirtioNet({ ...inNextSlot('virtio-net'), ...options.network });
  const virtioVsock = options.vsock && createVirtioVsock({ ...inNextSlot('virtio-vsock'), ...options.vsock });
  const disks = options.disks.map(({ shape, connect, serial }, i) =>
    createVirtioBlk({
      ...inNextSlot(`virtio-blk${i}`),
      disk: shape,
      port: connect(memory),
      serial,
      queues: options.queues,
    }),
  );
  const folders = options.folders.map(({ tag, connect }, i) =>
    createVirtioFs({ ...inNextSlot(`virtio-fs${i}`), tag, port: connect(memory) }),
  );
  const virtioBalloon = createVirtioBalloon(inNextSlot('virtio-balloon'));
  const optional = [virtioConsole?.device, virtioNet?.device, virtioVsock, ...disks, ...folders];
  const virtio = [rng, ...optional, virtioBalloon.device].filter((device) => device !== undefined);
  for (const [i, { pci }] of virtio.entries()) {
    bus.attach(SLOT.firstDevice + i, 0, pci);
    addBars(pci, ports, mmio);
  }
  return {
    bus,
    resetControl: isaBridge.regions.resetControl,
    virtioConsole,
    virtioNet,
    virtioBalloon,
    devices: [bus, hostBridge, isaBridge, ...virtio],
  };
}
