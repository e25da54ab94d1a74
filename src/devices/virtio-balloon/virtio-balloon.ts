/**
 * The memory balloon (virtio 1.2 5.5): gives the host what the guest does not use. The driver reports pages that are free, and hands over
 * as many as the host asks for; either way they are zero pages again, which take memory when they are next written to. So
 * nothing has to be done to give one back.
 */
import { PAGE_SIZE } from '../../memory/layout.ts';
import { checkState } from '../check-state.ts';
import type { VirtioHandlers, VirtioModel, VirtioPort } from '../virtio/model.ts';
import { createVirtioPci, type VirtioDevice, type VirtioPciOptions } from '../virtio/pci-transport.ts';
import type { VirtqueueRequest } from '../virtio/virtqueue.ts';

const TYPE_BALLOON = 5;
const FEATURE = { statistics: 1, deflateOnOom: 2, pageReporting: 5 } as const;
/** Offsets in the configuration structure (5.5.4). */
const CONFIG = { pages: 0, actual: 4, size: 16 } as const;
const QUEUE = { inflate: 0, deflate: 1, statistics: 2, reporting: 3 } as const;

/** Page numbers that are looked at in one buffer: Linux hands over 256 at a time. */
const MOST_NUMBERS = 1 << 14;
/** The most bytes that one report may name: 32 blocks of 4 MiB are Linux's. */
const MOST_REPORTED = 256 * 1024 * 1024;
/** What the driver tells of itself: numbers of 16 and 64 bits (5.5.6.3). */
const STATISTIC_SIZE = 10;
const STATISTICS = 16;

const QUEUES = [{ size: 128 }, { size: 128 }, { size: 16 }, { size: 32, maxBytes: MOST_REPORTED }];

const FIELDS = {
  /** The driver's figures by their tags, and which it has told: 0 to 9 are those of 5.5.6.4. */
  statistics: ['u64', STATISTICS],
  told: 'u16',
  /** Head of the buffer that waits to be returned when the host wants figures, plus 1, or 0. */
  waiting: 'u16',
} as const;

/** Names of the figures, by tag (5.5.6.4). In bytes but for the faults and allocations. */
export const BALLOON_STATISTICS = [
  'swapped in',
  'swapped out',
  'major faults',
  'minor faults',
  'free memory',
  'total memory',
  'available memory',
  'disk caches',
  'huge page allocations',
  'failed huge page allocations',
] as const;

export interface VirtioBalloon {
  readonly device: VirtioDevice;
  /** Asks the driver for so many bytes; it gives them when it can, and takes some back when it has nothing else. */
  setTarget(bytes: number): void;
  /** Bytes that the driver has given. */
  actual(): number;
  /** What the driver told last, by name; then asks it to tell again. Empty before it told anything. */
  statistics(): Readonly<Record<string, number>>;
}

function behaviour({ name, memory }: VirtioPciOptions, device: VirtioPort<typeof FIELDS>) {
  const { config, queues, state } = device;
  const view = new DataView(config.buffer, config.byteOffset, config.byteLength);
  const target = () => view.getUint32(CONFIG.pages, true);

  /** Pages that the driver hands over, by number. Neighbours go together. */
  function inflate(request: VirtqueueRequest): void {
    const count = Math.min(MOST_NUMBERS, request.readableBytes >>> 2);
    const bytes = request.read(0, 4 * count);
    if (bytes === undefined) return;
    const numbers = new Uint32Array(bytes.buffer, 0, count).sort();
    for (let i = 0; i < count; ) {
      const start = i;
      while (i < count && numbers[i] === numbers[start]! + (i - start)) i++;
      memory.discard(numbers[start]!, i - start);
    }
  }

  /** Buffers that are free pages themselves. What is in them is of no interest, but what is beside them is. */
  function report(request: VirtqueueRequest): void {
    for (const { address, length } of request.segments('write', 0, request.writableBytes) ?? []) {
      const first = Math.ceil(address / PAGE_SIZE);
      const end = Math.floor((address + length) / PAGE_SIZE);
      if (end > first) memory.discard(first, end - first);
    }
  }

  function takeStatistics(request: VirtqueueRequest): void {
    const length = Math.min(request.readableBytes, STATISTICS * STATISTIC_SIZE);
    const bytes = request.read(0, length - (length % STATISTIC_SIZE));
    if (bytes === undefined) return;
    const given = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += STATISTIC_SIZE) {
      const tag = given.getUint16(at, true);
      if (tag >= BALLOON_STATISTICS.length) continue;
      state.statistics[tag] = given.getBigUint64(at + 2, true);
      state.told |= 1 << tag;
    }
    // The one before, if any, was not asked for.
    returnStatistics();
    state.waiting = request.head + 1;
  }

  function returnStatistics(): void {
    const queue = queues[QUEUE.statistics]!;
    const request = state.waiting === 0 ? undefined : queue.inFlight(state.waiting - 1);
    state.waiting = 0;
    if (request !== undefined) queue.complete(request, 0);
  }

  /** What a queue is for: those of features that the driver does not want do not count. */
  function purpose(queue: number): number {
    return queue === QUEUE.statistics && !device.negotiated(FEATURE.statistics) ? QUEUE.reporting : queue;
  }

  function take(queue: number): void {
    const ring = queues[queue]!;
    const kind = purpose(queue);
    for (let request = ring.pop(); request !== undefined; request = ring.pop()) {
      if (kind === QUEUE.statistics) {
        takeStatistics(request);
        continue;
      }
      if (kind === QUEUE.inflate) inflate(request);
      else if (kind === QUEUE.reporting && device.negotiated(FEATURE.pageReporting)) report(request);
      ring.push(request, 0);
    }
    ring.notify();
  }

  const handlers: VirtioHandlers = {
    notified: take,
    configWritten(offset, size, value) {
      if (offset === CONFIG.actual && size === 4) view.setUint32(CONFIG.actual, value, true);
    },
    reset() {
      // What the host asks for outlives the driver; what the guest had given it starts anew with.
      const pages = target();
      config.fill(0);
      view.setUint32(CONFIG.pages, pages, true);
      state.statistics.fill(0n);
      state.told = 0;
      state.waiting = 0;
    },
    restored() {
      const rest = config.subarray(CONFIG.actual + 4);
      const isKnown = state.waiting === 0 || state.waiting <= QUEUES[QUEUE.statistics]!.size;
      checkState(name, {
        deviceConfig: rest.every((byte) => byte === 0),
        told: state.told < 1 << BALLOON_STATISTICS.length,
        waiting: isKnown,
      });
    },
    // Buffers of all other queues are answered at once.
    resumed() {},
  };
  return {
    handlers,
    setTarget(bytes: number): void {
      const pages = Math.min(Math.floor(bytes / PAGE_SIZE), memory.size / PAGE_SIZE);
      if (pages === target()) return;
      view.setUint32(CONFIG.pages, pages, true);
      device.configChanged();
    },
    actual: () => view.getUint32(CONFIG.actual, true) * PAGE_SIZE,
    statistics(): Record<string, number> {
      const told = [...BALLOON_STATISTICS.entries()].filter(([tag]) => ((state.told >>> tag) & 1) === 1);
      returnStatistics();
      return Object.fromEntries(told.map(([tag, label]) => [label, Number(state.statistics[tag])]));
    },
  };
}

/** Makes a balloon. */
export function createVirtioBalloon(options: VirtioPciOptions): VirtioBalloon {
  let made: ReturnType<typeof behaviour> | undefined;
  const model: VirtioModel<typeof FIELDS> = {
    name: 'virtio-balloon',
    version: 1,
    type: TYPE_BALLOON,
    classCode: 0xff_0000,
    features: Object.values(FEATURE).reduce((all, bit) => all | (1n << BigInt(bit)), 0n),
    queues: QUEUES,
    configSize: CONFIG.size,
    fields: FIELDS,
    attach(device) {
      made = behaviour(options, device);
      return made.handlers;
    },
  };
  const device = createVirtioPci(options, model);
  const { setTarget, actual, statistics } = made!;
  return { device, setTarget, actual, statistics };
}
