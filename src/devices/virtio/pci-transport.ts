/**
 * Virtio over PCI, modern only (virtio 1.2 4.1): turns a device's model into a PCI function with the virtio structures
 * in one memory BAR and MSI-X in another.
 */
import type { TimerService } from '../../base/clock.ts';
import { type Fields, type StructSchema, type StructView, struct } from '../../base/struct.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { checkState } from '../check-state.ts';
import type { GuestLog, Line, Place, Region } from '../device.ts';
import type { MapBar, PciBar } from '../pci/bar.ts';
import { COMMAND, CONFIG, readBytes } from '../pci/config-space.ts';
import { barRegions, createPciFunction, type PciDevice, type PciFunction } from '../pci/function.ts';
import { createMsix, type Msix } from '../pci/msix.ts';
import { configWindow, LAYOUT, NOTIFY_MULTIPLIER, virtioCapabilities } from './capabilities.ts';
import { COMMON_SIZE, commonConfig } from './common-config.ts';
import { ISR, NO_VECTOR } from './constants.ts';
import { createCore, type VirtioCore } from './core.ts';
import type { VirtioModel } from './model.ts';
import { requestsSchema, TRANSPORT_VERSION, type VirtioState, virtioFields } from './state.ts';

const VENDOR = 0x1af4;
const FIRST_DEVICE_ID = 0x1040;

const VIRTIO_BAR = 0;
const MSIX_BAR = 1;

/** What every virtio device over PCI is given. */
export interface VirtioPciOptions {
  readonly name: string;
  readonly place: Place;
  readonly memory: GuestMemory;
  readonly timers: TimerService;
  /** The wire from INTA# of the device's slot. */
  readonly intx: Line;
  /** Sends a message-signalled interrupt. */
  readonly msi: (address: number, data: number) => void;
  readonly mapBar: MapBar;
  readonly log: GuestLog;
}

/** A virtio device; its regions are `bar0` (virtio structures) and `bar1` (MSI-X), placed where the guest maps them. */
export type VirtioDevice = PciDevice;

function structures(state: VirtioState, core: VirtioCore, vectors: number, readIsr: () => number): Region {
  const common = commonConfig(state, core, vectors);
  const { deviceConfig } = state;
  return {
    size: LAYOUT.size,
    read(offset, size) {
      if (offset + size <= COMMON_SIZE) return common.read(offset, size);
      if (offset === LAYOUT.isr) return readIsr();
      const at = offset - LAYOUT.device;
      return at >= 0 && at + size <= deviceConfig.length ? readBytes(deviceConfig, at, size) : 0;
    },
    write(offset, size, value) {
      if (offset >= LAYOUT.notify) {
        if (offset % NOTIFY_MULTIPLIER === 0) core.kick((offset - LAYOUT.notify) / NOTIFY_MULTIPLIER);
      } else if (offset >= LAYOUT.device) {
        const at = offset - LAYOUT.device;
        if (at + size <= deviceConfig.length) core.handlers.configWritten?.(at, size, value);
      } else if (offset + size <= COMMON_SIZE) common.write(offset, size, value);
    },
  };
}

/** Interrupts of a virtio function: MSI-X when the driver enabled it, else INTA# with the ISR status byte (4.1.4.5). */
function interrupts(state: VirtioState, pci: () => PciFunction, msix: Msix) {
  const driveIntx = () => pci().setInterrupt(state.isr !== 0 && !msix.enabled());
  function raise(bit: number, vector: number): void {
    if (msix.enabled()) {
      if (vector !== NO_VECTOR) msix.trigger(vector);
      return;
    }
    state.isr |= bit;
    driveIntx();
  }
  return {
    driveIntx,
    queueInterrupt: (queue: number) => raise(ISR.queue, state.queueVector[queue]!),
    configInterrupt: () => raise(ISR.config, state.configVector),
    /** Reading the byte clears it and releases the line. */
    readIsr(): number {
      const { isr } = state;
      state.isr = 0;
      if (isr !== 0) driveIntx();
      return isr;
    },
  };
}

/** Makes the device that `model` describes. Attach its `pci` to a bus; restore guest memory before its state. */
export function createVirtioPci<F extends Fields>(options: VirtioPciOptions, model: VirtioModel<F>): VirtioDevice {
  const { name, place, memory, timers, log, msi, mapBar, intx } = options;
  const { queues, configSize } = model;
  const fields: Fields = { ...virtioFields(queues, configSize), ...model.fields };
  const schema: StructSchema<Fields> = struct(model.name, TRANSPORT_VERSION * 256 + model.version, fields);
  const view = place(schema, (fresh) => {
    const { deviceConfig } = fresh as unknown as VirtioState;
    model.initial?.(fresh as unknown as StructView<F>, deviceConfig);
  });
  const state = view as unknown as VirtioState & StructView<F>;
  const common: VirtioState = state;
  const requests = place(requestsSchema(model.name, queues));
  const { config } = common;
  const vectors = queues.length + 1;

  const msix = createMsix({
    table: common.msixTable,
    pending: common.msixPending,
    bar: MSIX_BAR,
    control: () => readBytes(config, pci.capabilities[0]! + 2, 2),
    busMaster: () => pci.busMaster(),
    send: msi,
  });
  const { driveIntx, readIsr, queueInterrupt, configInterrupt } = interrupts(common, () => pci, msix);
  const busMaster = () => pci.busMaster();
  const host = {
    name,
    state,
    requests,
    memory,
    timers,
    log,
    busMaster,
    queueInterrupt,
    configInterrupt,
    wasReset: driveIntx,
  };
  const core = createCore(model, host);

  const bars: readonly PciBar[] = [
    { index: VIRTIO_BAR, kind: 'memory', region: structures(common, core, vectors, readIsr) },
    { index: MSIX_BAR, kind: 'memory', region: msix.region },
  ];
  const capabilities = [msix.capability, ...virtioCapabilities(VIRTIO_BAR, COMMON_SIZE, queues.length, configSize)];
  const pci: PciFunction = createPciFunction({
    name,
    config,
    identity: {
      vendor: VENDOR,
      device: FIRST_DEVICE_ID + model.type,
      revision: 1,
      classCode: model.classCode,
      subsystemVendor: VENDOR,
      subsystemDevice: FIRST_DEVICE_ID + model.type,
    },
    bars,
    capabilities,
    interrupt: { pin: 1, line: intx },
    mapBar,
    beforeRead: (offset, size) => window.beforeRead(offset, size),
    written(offset, size) {
      window.written(offset, size);
      const control = pci.capabilities[0]!;
      if (offset < control + 4 && offset + size > control + 2) {
        msix.update();
        driveIntx();
      }
      if (offset < CONFIG.command + 2 && offset + size > CONFIG.command) commandWritten();
    },
  });
  const window = configWindow(config, pci.capabilities.at(-1)!, (bar) => bars[bar]?.region);

  /** What was held back while the function might not master the bus goes on. */
  function commandWritten(): void {
    if ((readBytes(config, CONFIG.command, 2) & COMMAND.busMaster) === 0) return;
    msix.update();
    core.kickAll();
  }

  return {
    name,
    schema,
    state: view,
    regions: barRegions(bars),
    pci,
    reset() {
      pci.reset();
      msix.reset();
      core.reset();
    },
    restored() {
      const known = (vector: number) => vector < vectors || vector === NO_VECTOR;
      checkState(name, {
        msixTable: msix.sound(),
        configVector: known(common.configVector),
        queueVector: common.queueVector.every(known),
      });
      pci.restored();
      core.restored();
    },
    ...(core.handlers.poll && { poll: core.handlers.poll }),
    ...(core.handlers.settled && { settled: core.handlers.settled }),
    ...(core.handlers.unsavable && { unsavable: core.handlers.unsavable }),
  };
}
