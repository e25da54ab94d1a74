/** The common configuration structure (virtio 1.2 4.1.4.3) over a virtio core. */

import type { AccessSize, Region } from '../device.ts';
import { readBytes } from '../pci/config-space.ts';
import { NO_VECTOR } from './constants.ts';
import type { VirtioCore } from './core.ts';
import type { VirtioState } from './state.ts';

/** Bytes of the structure, queue_notify_data and queue_reset included. */
export const COMMON_SIZE = 0x3c;

const AT = {
  deviceFeatureSelect: 0x00,
  deviceFeature: 0x04,
  driverFeatureSelect: 0x08,
  driverFeature: 0x0c,
  configVector: 0x10,
  queueCount: 0x12,
  deviceStatus: 0x14,
  configGeneration: 0x15,
  queueSelect: 0x16,
  queueSize: 0x18,
  queueVector: 0x1a,
  queueEnable: 0x1c,
  queueNotifyOffset: 0x1e,
  queueDescriptors: 0x20,
  queueDriver: 0x28,
  queueDevice: 0x30,
} as const;

/** Width of each field in bytes; the 64-bit ones are written as two halves (4.1.3.1). */
const WIDTHS: ReadonlyMap<number, AccessSize> = new Map([
  [AT.deviceFeatureSelect, 4],
  [AT.driverFeatureSelect, 4],
  [AT.driverFeature, 4],
  [AT.configVector, 2],
  [AT.deviceStatus, 1],
  [AT.queueSelect, 2],
  [AT.queueSize, 2],
  [AT.queueVector, 2],
  [AT.queueEnable, 2],
  ...[AT.queueDescriptors, AT.queueDriver, AT.queueDevice].flatMap((at): [number, AccessSize][] => [
    [at, 4],
    [at + 4, 4],
  ]),
]);

/** Makes the structure. `vectors` is how many MSI-X vectors the device has. */
export function commonConfig(state: VirtioState, core: VirtioCore, vectors: number): Region {
  const image = new Uint8Array(COMMON_SIZE);
  const view = new DataView(image.buffer);

  function renderQueue(queue: number): void {
    view.setUint16(AT.queueSize, state.queueSize[queue]!, true);
    view.setUint16(AT.queueVector, state.queueVector[queue]!, true);
    view.setUint16(AT.queueEnable, state.queueEnabled[queue]!, true);
    view.setUint16(AT.queueNotifyOffset, queue, true);
    for (const half of [0, 1]) {
      view.setUint32(AT.queueDescriptors + 4 * half, state.queueDescriptors[2 * queue + half]!, true);
      view.setUint32(AT.queueDriver + 4 * half, state.queueDriver[2 * queue + half]!, true);
      view.setUint32(AT.queueDevice + 4 * half, state.queueDevice[2 * queue + half]!, true);
    }
  }

  function render(): void {
    const { deviceFeatureSelect, driverFeatureSelect } = state;
    const offered = deviceFeatureSelect < 2 ? (core.offered >> BigInt(32 * deviceFeatureSelect)) & 0xffff_ffffn : 0n;
    image.fill(0);
    view.setUint32(AT.deviceFeatureSelect, deviceFeatureSelect, true);
    view.setUint32(AT.deviceFeature, Number(offered), true);
    view.setUint32(AT.driverFeatureSelect, driverFeatureSelect, true);
    view.setUint32(AT.driverFeature, state.driverFeatures[driverFeatureSelect] ?? 0, true);
    view.setUint16(AT.configVector, state.configVector, true);
    view.setUint16(AT.queueCount, core.queueCount, true);
    image[AT.deviceStatus] = core.readStatus();
    image[AT.configGeneration] = state.configGeneration;
    view.setUint16(AT.queueSelect, state.queueSelect, true);
    // A queue that does not exist has size 0.
    if (state.queueSelect < core.queueCount) renderQueue(state.queueSelect);
    else view.setUint16(AT.queueVector, NO_VECTOR, true);
  }

  const vector = (value: number) => (value < vectors ? value : NO_VECTOR);

  function writeQueue(offset: number, value: number): void {
    const queue = state.queueSelect;
    if (queue >= core.queueCount) return;
    const half = 2 * queue + ((offset >> 2) & 1);
    // Where a queue is and how large it is cannot change under the device's feet.
    const settled = state.queueEnabled[queue] === 1;
    if (offset === AT.queueVector) state.queueVector[queue] = vector(value);
    else if (offset === AT.queueSize) core.writeQueueSize(queue, value);
    else if (offset === AT.queueEnable && value === 1) core.enableQueue(queue);
    else if (settled || offset < AT.queueDescriptors) return;
    else if (offset < AT.queueDriver) state.queueDescriptors[half] = value;
    else if (offset < AT.queueDevice) state.queueDriver[half] = value;
    else state.queueDevice[half] = value;
  }

  function writeField(offset: number, value: number): void {
    if (offset === AT.deviceFeatureSelect) state.deviceFeatureSelect = value;
    else if (offset === AT.driverFeatureSelect) state.driverFeatureSelect = value;
    else if (offset === AT.driverFeature) core.writeFeatures(state.driverFeatureSelect, value);
    else if (offset === AT.configVector) state.configVector = vector(value);
    else if (offset === AT.deviceStatus) core.writeStatus(value);
    else if (offset === AT.queueSelect) state.queueSelect = value;
    else writeQueue(offset, value);
  }

  return {
    size: COMMON_SIZE,
    read(offset, size) {
      render();
      return readBytes(image, offset, size);
    },
    /** Only a field's own width reaches it (4.1.3.1); read-only fields and other widths are ignored. */
    write(offset, size, value) {
      if (WIDTHS.get(offset) === size) writeField(offset, value);
    },
  };
}
