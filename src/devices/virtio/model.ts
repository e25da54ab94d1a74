/**
 * What a kind of virtio device has to say about itself. The transport does the rest, so a device is its features, its
 * configuration bytes and what it does with the buffers of its queues.
 */
import type { Fields, StructView } from '../../base/struct.ts';
import type { GuestLog } from '../device.ts';
import type { Virtqueue, VirtqueueRequest } from './virtqueue.ts';

export interface QueueModel {
  /** The largest size offered: a power of two, at most 1024. */
  readonly size: number;
  /** The most bytes one chain may describe, 2^32 unless told; a longer one is malformed. */
  readonly maxBytes?: number;
}

export interface VirtioModel<F extends Fields> {
  /** The struct's name, e.g. `virtio-rng`. */
  readonly name: string;
  readonly version: number;
  /** Device type (virtio 1.2 5), e.g. 4 for an entropy source. */
  readonly type: number;
  /** PCI class code, 24 bits. */
  readonly classCode: number;
  /** Feature bits 0–23 and 50 up that belong to the device type. */
  readonly features: bigint;
  readonly queues: readonly QueueModel[];
  /** Bytes of the device configuration structure, 0 for none. */
  readonly configSize: number;
  /** State of the device's own, beyond the transport's. */
  readonly fields: F;
  /** Writes what own fields and configuration bytes hold in a new device and no reset changes. */
  initial?(state: StructView<F>, config: Uint8Array): void;
  /**
   * Makes the behaviour, in each thread of the machine. Nothing may be called on `port` before this returns, and no state
   * may be changed.
   */
  attach(port: VirtioPort<F>): VirtioHandlers;
}

/** What the transport offers to a device. */
export interface VirtioPort<F extends Fields> {
  readonly state: StructView<F>;
  /** The bytes of the device configuration structure, as the driver reads them. */
  readonly config: Uint8Array;
  readonly queues: readonly Virtqueue[];
  /** Whether the driver accepted a feature bit. */
  negotiated(bit: number): boolean;
  /** Whether the driver has set DRIVER_OK and the device does not need a reset. */
  active(): boolean;
  /** Tells the driver that `config` changed; call after changing it. */
  configChanged(): void;
  /** The driver broke the rules: sets DEVICE_NEEDS_RESET and logs once. The queues stand still until a reset. */
  fault(reason: string): void;
  readonly log: GuestLog;
}

/** What a device does. None of these may throw, whatever the guest wrote. */
export interface VirtioHandlers {
  /** The driver made buffers available in a queue, or may have: take them with `pop` until there are none. */
  notified(queue: number): void;
  /** The driver wrote to the configuration structure; `config` is not changed unless the handler does it. */
  configWritten?(offset: number, size: number, value: number): void;
  /** The driver or the board reset the device: initialise own state and `config`. */
  reset(): void;
  /** After a restore: check own state (throw 'bad-input'). Guest memory is not to be touched yet. */
  restored?(): void;
  /** After a restore, a request that was in flight: start it again. A device that answers at once needs none of this. */
  resumed?(queue: number, request: VirtqueueRequest): void;
  /** See Device; a device with a back end in another thread has `poll`, one whose back end uses guest memory both. */
  poll?(): void;
  settled?(): boolean;
  /** See Device. */
  unsavable?(): string | undefined;
}
