/** The state that every virtio device over PCI has: negotiation, queues, and the PCI function around them. */
import { type StructView, struct } from '../../base/struct.ts';
import { PCI_FIELDS } from '../pci/config-space.ts';
import { msixFields } from '../pci/msix.ts';
import type { QueueModel } from './model.ts';

/** Raised when the fields below change; it is part of every virtio device's version. */
export const TRANSPORT_VERSION = 2;

/** Words of one queue's bitmap of descriptors in flight. */
export function inFlightWords(queues: readonly QueueModel[]): number {
  return Math.ceil(Math.max(1, ...queues.map((queue) => queue.size)) / 32);
}

/** Fields for these queues and a configuration space of `configSize` bytes. Addresses are pairs: low word, high word. */
export function virtioFields(queues: readonly QueueModel[], configSize: number) {
  const count = queues.length;
  return {
    ...PCI_FIELDS,
    ...msixFields(count + 1),
    deviceFeatureSelect: 'u32',
    driverFeatureSelect: 'u32',
    driverFeatures: ['u32', 2],
    configVector: 'u16',
    queueSelect: 'u16',
    deviceStatus: 'u8',
    configGeneration: 'u8',
    isr: 'u8',
    queueSize: ['u16', count],
    queueVector: ['u16', count],
    queueEnabled: ['u8', count],
    queueDescriptors: ['u32', 2 * count],
    queueDriver: ['u32', 2 * count],
    queueDevice: ['u32', 2 * count],
    /** The next entry of the available ring to take, and of the used ring to fill. */
    nextAvailable: ['u16', count],
    nextUsed: ['u16', count],
    /** `nextUsed` when the driver was last considered for an interrupt. */
    signalledUsed: ['u16', count],
    /** Heads of the chains that were taken and not yet returned: what a restore hands out again. */
    inFlight: ['u32', count * inFlightWords(queues)],
    /** Queues whose handling was cut short to let others run, and goes on by timer. */
    deferred: ['u8', count],
    deviceConfig: ['u8', configSize],
  } as const;
}

/**
 * Which requests are out, for all threads of the machine. Not saved: after a restore, and after a reset, what was handed
 * out before is stale.
 */
export function requestsSchema(name: string, queues: readonly QueueModel[]) {
  return struct(`${name}-requests`, 1, {
    /** The latest number given to a request. */
    latest: ['u32', 1],
    /** For each descriptor of each queue the number of the request that starts there, or 0. */
    issued: ['u32', Math.max(1, requestsBefore(queues, queues.length))],
  });
}

/** Where a queue's part of `issued` begins. */
export function requestsBefore(queues: readonly QueueModel[], queue: number): number {
  return queues.slice(0, queue).reduce((sum, { size }) => sum + size, 0);
}

export type RequestsState = StructView<ReturnType<typeof requestsSchema>['fields']>;

export type VirtioState = StructView<ReturnType<typeof virtioFields>>;

/** A 64-bit address out of a pair of words. Above 2^53 it is not exact, and no RAM is there. */
export function pair(words: Uint32Array, index: number): number {
  return words[2 * index + 1]! * 2 ** 32 + words[2 * index]!;
}
