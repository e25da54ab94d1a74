import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { allocate } from '../../base/struct.ts';
import { createApicBus } from '../apic-bus/apic-bus.ts';
import type { Place } from '../device.ts';
import { createLocalApic, type LocalApic } from './local-apic.ts';
import { BASE_ENABLE, BASE_X2APIC, MSR_APIC_BASE, REGISTER } from './registers.ts';

/** TSC ticks per nanosecond of the tests' processors. */
export const TSC_PER_NS = 2n;

/** `count` processors' local APICs on one bus, and what they told their processors and the I/O APIC. */
export function apicRig(count = 1, timers: FakeTimers = fakeTimers()) {
  const rig = makeApics(count, timers, allocate);
  for (const apic of rig.apics) apic.reset();
  return rig;
}

/** As `apicRig`, before anything is reset. */
export function makeApics(count: number, timers: FakeTimers, place: Place) {
  const signals: string[] = [];
  const eois: number[] = [];
  const bus = createApicBus({ log: () => {} });
  const apics = Array.from({ length: count }, (_, id) => {
    const apic = createLocalApic({
      name: `apic${id}`,
      id,
      bootstrap: id === 0,
      place,
      timers,
      bus,
      cpu: {
        interrupt: () => {},
        nmi: () => signals.push(`nmi ${id}`),
        smi: () => signals.push(`smi ${id}`),
        init: () => signals.push(`init ${id}`),
        startup: (vector) => signals.push(`startup ${id} ${vector}`),
      },
      eoi: (vector) => eois.push(vector),
      log: () => {},
      tscToNs: (tsc) => Number((tsc + TSC_PER_NS - 1n) / TSC_PER_NS),
    });
    bus.attach(apic);
    return apic;
  });
  return { apics, apic: apics[0], bus, timers, signals, eois };
}

export function read(apic: LocalApic, offset: number): number {
  return apic.regions.registers.read(offset, 4);
}

export function write(apic: LocalApic, offset: number, value: number): void {
  apic.regions.registers.write(offset, 4, value);
}

/** Switches an APIC on by software, as every system does first. */
export function enable(apic: LocalApic): void {
  write(apic, REGISTER.svr, 0x1ff);
}

/** Switches to x2APIC mode. */
export function enterX2apic(apic: LocalApic): void {
  const base = apic.readMsr(MSR_APIC_BASE) ?? 0n;
  apic.writeMsr(MSR_APIC_BASE, base | BASE_ENABLE | BASE_X2APIC);
}

/** Sends a fixed, edge-triggered interrupt to an APIC. */
export function interrupt(apic: LocalApic, vector: number, trigger: 'edge' | 'level' = 'edge'): boolean {
  return apic.deliver({ destination: apic.id, logical: false, mode: 0, vector, level: true, trigger });
}
