/**
 * What firmware does for PCI at start, for machines that boot without one: sizes every BAR, gives each an address,
 * writes the interrupt lines and switches decoding on. Works through configuration accesses only.
 */
import { VirtsError } from '../../base/errors.ts';
import type { PciBus } from './bus.ts';
import { COMMAND, CONFIG, type InterruptPin } from './config-space.ts';

/** Addresses to hand out, in bytes. */
export interface Window {
  readonly base: number;
  readonly size: number;
}

export interface Resources {
  readonly mmio: Window;
  readonly io: Window;
  /** The ISA interrupt that a slot's pin ends at: the value of the interrupt line register. */
  irq(pin: InterruptPin, slot: number): number;
}

/** A BAR and the place it was given. */
export interface Assignment {
  readonly slot: number;
  readonly func: number;
  readonly bar: number;
  readonly kind: 'io' | 'memory';
  readonly address: number;
  readonly size: number;
}

type Request = Omit<Assignment, 'address'> & { readonly wide: boolean };

/** Sizes the BARs of one function, whose decoding must be off (PCI Local Bus 3.0, 6.2.5.1). */
function sizeBars(bus: PciBus, slot: number, func: number): Request[] {
  const requests: Request[] = [];
  for (let bar = 0; bar < 6; bar++) {
    const at = CONFIG.bar0 + 4 * bar;
    const old = bus.readConfig(slot, func, at, 4);
    bus.writeConfig(slot, func, at, 4, 0xffff_ffff);
    const probed = bus.readConfig(slot, func, at, 4);
    bus.writeConfig(slot, func, at, 4, old);
    if (probed === 0) continue;
    const kind = (probed & 1) === 1 ? 'io' : 'memory';
    const size = (~(probed & (kind === 'io' ? ~3 : ~15)) + 1) >>> 0;
    const wide = kind === 'memory' && (probed & 6) === 4;
    requests.push({ slot, func, bar, kind, size, wide });
    if (wide) bar++;
  }
  return requests;
}

/** Places the largest first, each at a multiple of its size. */
function allocate(requests: readonly Request[], window: Window): (Request & { readonly address: number })[] {
  let next = window.base;
  return requests
    .toSorted((a, b) => b.size - a.size)
    .map((request) => {
      const address = Math.ceil(next / request.size) * request.size;
      next = address + request.size;
      if (next > window.base + window.size) {
        throw new VirtsError('no-space', 'The PCI devices need more address space than there is; use fewer devices.', {
          slot: request.slot,
          bar: request.bar,
          size: request.size,
        });
      }
      return { ...request, address };
    });
}

/**
 * Assigns every BAR and interrupt line on the bus and enables I/O and memory decoding; bus mastering is left to drivers.
 * Returns the assignments. Throws 'no-space' if a window does not suffice.
 */
export function assignResources(bus: PciBus, resources: Resources): readonly Assignment[] {
  const functions = bus.functions();
  const requests: Request[] = [];
  for (const { slot, func } of functions) {
    const command = bus.readConfig(slot, func, CONFIG.command, 2);
    bus.writeConfig(slot, func, CONFIG.command, 2, command & ~(COMMAND.io | COMMAND.memory));
    requests.push(...sizeBars(bus, slot, func));
    const pin = bus.readConfig(slot, func, CONFIG.interruptPin, 1);
    if (pin >= 1 && pin <= 4) {
      bus.writeConfig(slot, func, CONFIG.interruptLine, 1, resources.irq(pin as InterruptPin, slot));
    }
  }
  const placed = [
    ...allocate(
      requests.filter((request) => request.kind === 'io'),
      resources.io,
    ),
    ...allocate(
      requests.filter((request) => request.kind === 'memory'),
      resources.mmio,
    ),
  ];
  for (const { slot, func, bar, address, wide } of placed) {
    const at = CONFIG.bar0 + 4 * bar;
    bus.writeConfig(slot, func, at, 4, address % 2 ** 32);
    if (wide) bus.writeConfig(slot, func, at + 4, 4, Math.floor(address / 2 ** 32));
  }
  for (const { slot, func } of functions) {
    const command = bus.readConfig(slot, func, CONFIG.command, 2);
    bus.writeConfig(slot, func, CONFIG.command, 2, command | COMMAND.io | COMMAND.memory);
  }
  return placed.map(({ wide: _wide, ...assignment }) => assignment);
}
