/**
 * A small guest for tests: a PCI bus behind ports 0xCF8 and 0xCFC, memory, and a driver that brings a virtio device up
 * the way Linux's does — it walks the capabilities, negotiates, sets queues up and waits for MSI-X messages.
 */
import type { TimerService } from '../../base/clock.ts';
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { flatMemory } from '../../memory/guest-memory.ts';
import type { AccessSize, Place } from '../device.ts';
import { assignResources } from '../pci/assign-resources.ts';
import { createPciBus } from '../pci/bus.ts';
import { type AddressMap, addressMap, anyPlace, type Wire, wire } from '../pci/pci.test-helper.ts';
import type { VirtioDevice, VirtioPciOptions } from './pci-transport.ts';

const SLOT = 2;
const MEMORY_SIZE = 1 << 20;

export interface Guest {
  readonly memory: ReturnType<typeof flatMemory>;
  readonly view: DataView;
  readonly timers: FakeTimers;
  readonly map: AddressMap;
  /** PIRQ wires; the device's INTA# ends at the second. */
  readonly pirqs: readonly Wire[];
  /** Data of the interrupt messages that arrived. */
  readonly messages: number[];
  readonly log: string[];
  readonly device: VirtioDevice;
  /** Configuration space through the ports. */
  config(offset: number, size: AccessSize): number;
  setConfig(offset: number, size: AccessSize, value: number): void;
}

/** What a device needs when nothing is around it. */
export function bareOptions(timers: TimerService, place: Place = anyPlace): VirtioPciOptions {
  return {
    name: 'virtio0',
    place,
    memory: flatMemory(0x1_0000),
    timers,
    intx: wire(),
    msi() {},
    mapBar() {},
    log() {},
  };
}

/** A board with one device in slot 2, its BARs assigned. `turn`: as for `fakeTimers`. */
export function guestWith(make: (options: VirtioPciOptions) => VirtioDevice, turn?: () => number): Guest {
  const memory = flatMemory(MEMORY_SIZE);
  const timers = fakeTimers(turn);
  const map = addressMap();
  const pirqs = [wire(), wire(), wire(), wire()];
  const bus = createPciBus({ name: 'pci0', place: anyPlace, pirqs });
  const messages: number[] = [];
  const log: string[] = [];
  const device = make({
    ...bareOptions(timers),
    memory,
    intx: bus.intx(SLOT, 0, 1),
    msi: (_address, data) => messages.push(data),
    mapBar: map.mapBar,
    log: (message) => log.push(message),
  });
  bus.attach(SLOT, 0, device.pci);
  device.reset();
  const windows = { mmio: { base: 0xe000_0000, size: 0x100_0000 }, io: { base: 0xc000, size: 0x1000 } };
  assignResources(bus, { ...windows, irq: () => 11 });
  const select = (offset: number) => bus.regions.address.write(0, 4, 0x8000_0000 + SLOT * 0x800 + (offset & 0xfc));
  return {
    memory,
    view: new DataView(memory.bytes.buffer),
    timers,
    map,
    pirqs,
    messages,
    log,
    device,
    config(offset, size) {
      select(offset);
      return bus.regions.data.read(offset & 3, size);
    },
    setConfig(offset, size, value) {
      select(offset);
      bus.regions.data.write(offset & 3, size, value);
    },
  };
}

/** Addresses of the virtio structures, as the capabilities tell. */
export interface Structures {
  readonly common: number;
  readonly notify: number;
  readonly notifyMultiplier: number;
  readonly isr: number;
  readonly device: number | undefined;
  readonly msixTable: number;
  /** Offsets in configuration space. */
  readonly msixCapability: number;
  readonly windowCapability: number;
}

/** Walks the capability list. */
export function probe(guest: Guest): Structures {
  const { config } = guest;
  const bar = (index: number) => (config(0x10 + 4 * index, 4) & ~15) >>> 0;
  const found = new Map<number, number>();
  const offsets = new Map<number, number>();
  let msix = 0;
  for (let at = config(0x34, 1); at !== 0; at = config(at + 1, 1)) {
    if (config(at, 1) === 0x11) msix = at;
    if (config(at, 1) !== 0x09) continue;
    const type = config(at + 3, 1);
    found.set(type, bar(config(at + 4, 1)) + config(at + 8, 4));
    offsets.set(type, at);
  }
  const table = config(msix + 4, 4);
  return {
    common: found.get(1)!,
    notify: found.get(2)!,
    notifyMultiplier: config(offsets.get(2)! + 16, 4),
    isr: found.get(3)!,
    device: found.get(4),
    msixTable: bar(table & 7) + (table & ~7),
    msixCapability: msix,
    windowCapability: offsets.get(5)!,
  };
}

/** One buffer of a chain: bytes for the device to read, or a length for it to write. */
export type Piece = Uint8Array | number;

/** A split virtqueue, driver side. */
export interface DriverQueue {
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  /** Makes a chain available, without notifying; returns its head. */
  add(pieces: readonly Piece[], indirect?: boolean): number;
  notify(): void;
  /** Chains returned since the last call, with what the device wrote. */
  collect(): { readonly head: number; readonly bytes: Uint8Array }[];
}

export interface Driver extends Structures {
  readonly queues: readonly DriverQueue[];
  status(): number;
  setStatus(value: number): void;
  /** Offered features as one number of 64 bits. */
  offered(): bigint;
}

export interface DriverOptions {
  readonly features: bigint;
  readonly msix: boolean;
  readonly queueSize?: number;
  /** Stop before DRIVER_OK. */
  readonly hold?: boolean;
}

const RING_AREA = 0x1_0000;
const RING_STRIDE = 0x4000;

function driverQueue(guest: Guest, at: number, size: number, notifyAddress: number): DriverQueue {
  const { view, memory, map } = guest;
  const descriptors = at;
  const available = at + 16 * size;
  const used = (available + 6 + 2 * size + 3) & ~3;
  /** Where each head's buffers lie: a page per descriptor, out of the way of the rings. */
  const buffers = at + 0x8_0000;
  const chains = new Map<number, { address: number; length: number }[]>();
  let next = 0;
  let produced = 0;
  let consumed = 0;

  function describe(address: number, target: number, length: number, flags: number, link: number): void {
    view.setBigUint64(address, BigInt(target), true);
    view.setUint32(address + 8, length, true);
    view.setUint16(address + 12, flags, true);
    view.setUint16(address + 14, link, true);
  }

  return {
    size,
    descriptors,
    available,
    used,
    add(pieces, indirect = false) {
      const head = next;
      const table = indirect ? buffers + 0x3000 : descriptors;
      const first = indirect ? 0 : head;
      const writable: { address: number; length: number }[] = [];
      for (const [i, piece] of pieces.entries()) {
        const slot = first + i;
        const address = buffers + ((head + i) % 12) * 0x400;
        const length = typeof piece === 'number' ? piece : piece.length;
        if (typeof piece === 'number') writable.push({ address, length });
        else memory.bytes.set(piece, address);
        const last = i === pieces.length - 1;
        const index = indirect ? slot : slot % size;
        describe(
          table + 16 * index,
          address,
          length,
          (last ? 0 : 1) | (typeof piece === 'number' ? 2 : 0),
          (slot + 1) % size,
        );
      }
      if (indirect) describe(descriptors + 16 * head, table, 16 * pieces.length, 4, 0);
      next = (head + (indirect ? 1 : pieces.length)) % size;
      chains.set(head, writable);
      view.setUint16(available + 4 + 2 * (produced % size), head, true);
      produced++;
      view.setUint16(available + 2, produced & 0xffff, true);
      return head;
    },
    notify: () => map.write(notifyAddress, 2, 0),
    collect() {
      const result: { head: number; bytes: Uint8Array }[] = [];
      while (((view.getUint16(used + 2, true) - consumed) & 0xffff) > 0) {
        const entry = used + 4 + 8 * (consumed % size);
        consumed++;
        const head = view.getUint32(entry, true);
        const all = chains
          .get(head)!
          .flatMap(({ address, length }) => [...memory.bytes.subarray(address, address + length)]);
        result.push({ head, bytes: Uint8Array.from(all.slice(0, view.getUint32(entry + 4, true))) });
      }
      return result;
    },
  };
}

/** Brings the device up. MSI-X vector 0 is for configuration changes, vector i + 1 for queue i; the data is 0x40 + vector. */
export function startDriver(guest: Guest, options: DriverOptions): Driver {
  const { map, config, setConfig } = guest;
  const structures = probe(guest);
  const { common, notify, notifyMultiplier, msixTable, msixCapability } = structures;
  const status = () => map.read(common + 0x14, 1);
  const setStatus = (value: number) => map.write(common + 0x14, 1, value);
  const offered = () => {
    let bits = 0n;
    for (const half of [1, 0]) {
      map.write(common, 4, half);
      bits = (bits << 32n) | BigInt(map.read(common + 4, 4));
    }
    return bits;
  };

  setConfig(4, 2, config(4, 2) | 4);
  setStatus(0);
  setStatus(1);
  setStatus(3);
  for (const half of [0, 1]) {
    map.write(common + 8, 4, half);
    map.write(common + 12, 4, Number((options.features >> BigInt(32 * half)) & 0xffff_ffffn));
  }
  setStatus(11);
  const count = map.read(common + 0x12, 2);
  if (options.msix) {
    setConfig(msixCapability + 2, 2, 0x8000);
    for (let vector = 0; vector <= count; vector++) {
      map.write(msixTable + 16 * vector, 4, 0xfee0_0000);
      map.write(msixTable + 16 * vector + 4, 4, 0);
      map.write(msixTable + 16 * vector + 8, 4, 0x40 + vector);
      map.write(msixTable + 16 * vector + 12, 4, 0);
    }
    map.write(common + 0x10, 2, 0);
  }
  const queues = Array.from({ length: count }, (_, queue) => {
    map.write(common + 0x16, 2, queue);
    const size = Math.min(map.read(common + 0x18, 2), options.queueSize ?? 16);
    map.write(common + 0x18, 2, size);
    const made = driverQueue(guest, RING_AREA + queue * RING_STRIDE, size, notify + queue * notifyMultiplier);
    for (const [at, address] of [
      [0x20, made.descriptors],
      [0x28, made.available],
      [0x30, made.used],
    ] as const) {
      map.write(common + at, 4, address);
      map.write(common + at + 4, 4, 0);
    }
    if (options.msix) map.write(common + 0x1a, 2, queue + 1);
    map.write(common + 0x1c, 2, 1);
    return made;
  });
  if (!options.hold) setStatus(15);
  return { ...structures, queues, status, setStatus, offered };
}

/** Feature bits for tests. */
export const VERSION_1 = 1n << 32n;
export const EVENT_IDX = 1n << 29n;
export const INDIRECT = 1n << 28n;
