/** The interrupt controllers of a board and the wires between them. */
import { PHYSICAL_ADDRESS_BITS } from '../cpu/physical-address.ts';
import { createApicBus } from '../devices/apic-bus/apic-bus.ts';
import type { Device } from '../devices/device.ts';
import { createIoApic, type IoApic } from '../devices/io-apic/io-apic.ts';
import { createLocalApic, type LocalApic } from '../devices/local-apic/local-apic.ts';
import { createPic, type Pic } from '../devices/pic/pic.ts';
import type { PartOptions } from './board-options.ts';
import { createInterruptLines, type InterruptLines } from './interrupt-lines.ts';
import { createVcpuInterrupts, picOutput, type VcpuInterrupts } from './interrupts.ts';

export interface InterruptCore {
  readonly pic: Pic;
  readonly ioApic: IoApic;
  /** By vCPU. */
  readonly localApics: readonly LocalApic[];
  readonly interrupts: readonly VcpuInterrupts[];
  readonly lines: InterruptLines;
  /** Sends a message-signalled interrupt. */
  readonly msi: (address: number, data: number) => void;
  readonly devices: readonly Device[];
}

/** PICs, I/O APIC, a local APIC for each vCPU, and the ISA interrupt requests. */
export function createInterruptCore(parts: PartOptions): InterruptCore {
  const { place, timers, log, tscToNs, apicTimerFrequency } = parts;
  const bus = createApicBus({ log });
  const ioApic = createIoApic({ name: 'io-apic', place, bus, log });
  const localApics = parts.vcpus.map((cpu, id) => {
    const apic = createLocalApic({
      name: `local-apic${id}`,
      id,
      bootstrap: id === 0,
      place,
      timers: timers.of(id),
      bus,
      cpu,
      eoi: ioApic.eoi,
      log,
      tscToNs: (tsc) => tscToNs(tsc, id),
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      ...(apicTimerFrequency === undefined ? {} : { timerFrequency: apicTimerFrequency }),
    });
    bus.attach(apic);
    return apic;
  });
  const pic = createPic({ place, intr: picOutput(localApics, ioApic.inputs), log });
  const { timerGsi } = parts.description;
  const lines = createInterruptLines({ place, pic: pic.inputs, ioApic: ioApic.inputs, timerGsi });
  return {
    pic,
    ioApic,
    localApics,
    interrupts: localApics.map((apic) => createVcpuInterrupts(apic, pic)),
    lines,
    msi: (address, data) => {
      bus.msi(address, data);
    },
    devices: [lines, pic, ioApic, ...localApics],
  };
}
