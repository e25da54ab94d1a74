/**
 * A virtio device as its driver sees it, whatever carries its registers: status, feature negotiation, queues, reset
 * (virtio 1.2 2.1–2.4, 3.1).
 */
import type { Timer, TimerService } from '../../base/clock.ts';
import type { Fields, StructView } from '../../base/struct.ts';
import type { GuestMemory } from '../../memory/guest-memory.ts';
import { allAtMost, checkState } from '../check-state.ts';
import type { GuestLog } from '../device.ts';
import { FEATURE, NO_VECTOR, STATUS, TRANSPORT_FEATURES } from './constants.ts';
import type { VirtioHandlers, VirtioModel } from './model.ts';
import { inFlightWords, pair, type RequestsState, requestsBefore, type VirtioState } from './state.ts';
import { createVirtqueue, type OwnedVirtqueue } from './virtqueue.ts';

/** What the core needs of the transport that carries it. */
export interface CoreHost<F extends Fields> {
  readonly name: string;
  readonly state: VirtioState & StructView<F>;
  readonly requests: RequestsState;
  readonly memory: GuestMemory;
  readonly timers: TimerService;
  readonly log: GuestLog;
  /** Whether the device may access memory. */
  busMaster(): boolean;
  queueInterrupt(queue: number): void;
  configInterrupt(): void;
  /** The core was reset by its driver: drop interrupts that wait. */
  wasReset(): void;
}

export interface VirtioCore {
  readonly queueCount: number;
  /** All feature bits that the driver may accept. */
  readonly offered: bigint;
  readonly handlers: VirtioHandlers;
  maxQueueSize(queue: number): number;
  /** The driver's write to device_status; 0 resets. */
  writeStatus(value: number): void;
  /** The driver's write of feature bits 0–31 (`half` 0) or 32–63 (1). Ignored once the features are settled. */
  writeFeatures(half: number, value: number): void;
  /** device_status as the driver reads it: a reset shows when no transfer into its memory is left. */
  readStatus(): number;
  /** Sets a queue's size, if it is a power of two in range and the queue is not enabled. */
  writeQueueSize(queue: number, value: number): void;
  enableQueue(queue: number): void;
  /** The driver says that a queue has new buffers. */
  kick(queue: number): void;
  kickAll(): void;
  reset(): void;
  restored(): void;
}

const DRIVER_STATUS = STATUS.acknowledge | STATUS.driver | STATUS.driverOk | STATUS.featuresOk | STATUS.failed;

function isQueueSize(value: number, max: number): boolean {
  return value > 0 && value <= max && (value & (value - 1)) === 0;
}

/** Makes the core and, through `model.attach`, the device's behaviour. */
export function createCore<F extends Fields>(model: VirtioModel<F>, host: CoreHost<F>): VirtioCore {
  const { name, log } = host;
  const state: VirtioState = host.state;
  const { requests } = host;
  const offered = model.features | TRANSPORT_FEATURES;
  const count = model.queues.length;
  const logged = new Set<string>();

  const status = (bits: number) => (state.deviceStatus & bits) === bits;
  const active = () => status(STATUS.driverOk) && !status(STATUS.needsReset);
  const enabled = (queue: number) => state.queueEnabled[queue] === 1;
  const negotiated = (bit: number) => ((state.driverFeatures[bit >> 5]! >>> (bit & 31)) & 1) === 1;

  function fault(reason: string): void {
    if (!logged.has(reason)) {
      logged.add(reason);
      log(`${name}: ${reason}`);
    }
    if (status(STATUS.needsReset)) return;
    state.deviceStatus |= STATUS.needsReset;
    if (status(STATUS.driverOk)) configChanged();
  }

  function configChanged(): void {
    state.configGeneration++;
    if (status(STATUS.driverOk)) host.configInterrupt();
  }

  const wake: Timer = host.timers.timer(() => {
    for (let queue = 0; queue < count; queue++) {
      if (state.deferred[queue] === 0) continue;
      state.deferred[queue] = 0;
      kick(queue);
    }
  });

  function issue(): number {
    requests.latest[0]++;
    if (requests.latest[0] === 0) requests.latest[0] = 1;
    return requests.latest[0];
  }

  const queues: OwnedVirtqueue[] = model.queues.map(({ maxBytes }, index) =>
    createVirtqueue(index, {
      state,
      memory: host.memory,
      words: inFlightWords(model.queues),
      maxBytes: maxBytes ?? 2 ** 32,
      ready: () => active() && enabled(index) && host.busMaster(),
      negotiated,
      fault,
      interrupt: () => host.queueInterrupt(index),
      defer() {
        state.deferred[index] = 1;
        wake.arm(host.timers.now());
      },
      issued: requests.issued.subarray(requestsBefore(model.queues, index), requestsBefore(model.queues, index + 1)),
      issue,
    }),
  );

  const handlers = model.attach({
    state: host.state,
    config: state.deviceConfig,
    queues,
    negotiated,
    active,
    configChanged,
    fault,
    log,
  });

  function kick(queue: number): void {
    if (queue >= count || !active() || !enabled(queue) || !host.busMaster()) return;
    queues[queue]!.burst(() => handlers.notified(queue));
  }

  function kickAll(): void {
    for (let queue = 0; queue < count; queue++) kick(queue);
  }

  function reset(): void {
    requests.issued.fill(0);
    wake.cancel();
    for (const key of ['deviceFeatureSelect', 'driverFeatureSelect', 'queueSelect', 'deviceStatus', 'isr'] as const) {
      state[key] = 0;
    }
    state.configVector = NO_VECTOR;
    state.configGeneration = 0;
    for (const [queue, { size }] of model.queues.entries()) state.queueSize[queue] = size;
    state.queueVector.fill(NO_VECTOR);
    const zeroed = [
      state.driverFeatures,
      state.queueEnabled,
      state.queueDescriptors,
      state.queueDriver,
      state.queueDevice,
      state.nextAvailable,
      state.nextUsed,
      state.signalledUsed,
      state.inFlight,
      state.deferred,
    ];
    for (const array of zeroed) array.fill(0);
    handlers.reset();
    host.wasReset();
  }

  /** The driver's features, if it may have them: nothing that was not offered, and VERSION_1 (6.1). */
  function featuresFit(): boolean {
    const wanted = BigInt(state.driverFeatures[0]!) | (BigInt(state.driverFeatures[1]!) << 32n);
    return (wanted & ~offered) === 0n && negotiated(FEATURE.version1);
  }

  return {
    queueCount: count,
    offered,
    handlers,
    maxQueueSize: (queue) => model.queues[queue]?.size ?? 0,
    writeStatus(value) {
      if (value === 0) {
        reset();
        return;
      }
      const before = state.deviceStatus;
      // The driver only ever adds bits, and settles features before it goes on.
      let next = before | (value & DRIVER_STATUS);
      if ((before & STATUS.featuresOk) === 0 && (next & STATUS.featuresOk) !== 0 && !featuresFit()) {
        next &= ~STATUS.featuresOk;
      }
      if ((next & STATUS.featuresOk) === 0) next &= ~STATUS.driverOk;
      state.deviceStatus = next;
      if ((next & ~before & STATUS.driverOk) !== 0) kickAll();
    },
    readStatus() {
      if (state.deviceStatus !== 0 || handlers.settled === undefined) return state.deviceStatus;
      handlers.poll?.();
      return handlers.settled() ? 0 : STATUS.needsReset;
    },
    writeFeatures(half, value) {
      if (half < 2 && !status(STATUS.featuresOk)) state.driverFeatures[half] = value;
    },
    writeQueueSize(queue, value) {
      if (queue < count && !enabled(queue) && isQueueSize(value, model.queues[queue]!.size)) {
        state.queueSize[queue] = value;
      }
    },
    enableQueue(queue) {
      if (queue >= count || enabled(queue)) return;
      const aligned =
        pair(state.queueDescriptors, queue) % 16 === 0 &&
        pair(state.queueDriver, queue) % 2 === 0 &&
        pair(state.queueDevice, queue) % 4 === 0;
      if (!aligned) {
        fault('a ring is not aligned');
        return;
      }
      state.queueEnabled[queue] = 1;
      kick(queue);
    },
    kick,
    kickAll,
    reset,
    restored() {
      requests.issued.fill(0);
      wake.cancel();
      checkState(name, {
        queueSize: model.queues.every(({ size }, queue) => isQueueSize(state.queueSize[queue]!, size)),
        queueEnabled: allAtMost(state.queueEnabled, 1),
        deferred: allAtMost(state.deferred, 1),
        isr: state.isr <= 3,
        driverFeatures: !status(STATUS.featuresOk) || featuresFit(),
        deviceStatus: (state.deviceStatus & ~(DRIVER_STATUS | STATUS.needsReset)) === 0,
      });
      handlers.restored?.();
      for (const queue of queues) {
        if (!active() || !enabled(queue.index) || handlers.resumed === undefined) continue;
        for (const head of queue.inFlightHeads()) {
          const request = queue.inFlight(head);
          if (request !== undefined) handlers.resumed(queue.index, request);
        }
      }
      if (state.deferred.some((flag) => flag === 1)) wake.arm(host.timers.now());
    },
  };
}
