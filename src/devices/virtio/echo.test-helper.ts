/** A device for tests of the transport: answers each buffer with its readable bytes, at once or when told to. */
import type { VirtioModel, VirtioPort } from './model.ts';
import type { VirtioDevice, VirtioPciOptions } from './pci-transport.ts';
import { createVirtioPci } from './pci-transport.ts';
import type { VirtqueueRequest } from './virtqueue.ts';

export interface Echo {
  readonly device: VirtioDevice;
  /** The transport's offers to the device. */
  readonly port: VirtioPort<{ resets: 'u8' }>;
  /** Requests taken and not answered, if the device answers late. */
  readonly waiting: { readonly queue: number; readonly request: VirtqueueRequest }[];
  /** Answers the oldest of them. */
  answer(): void;
  /** As `answer`, where the request may have been taken by another thread. Whether it was not stale. */
  answerByName(): boolean;
}

/** `waiting` is that of another thread's echo over the same memory. */
export function createEcho(
  options: VirtioPciOptions,
  late = false,
  maxBytes = 65_536,
  waiting: Echo['waiting'] = [],
): Echo {
  let port: Echo['port'];

  function reply(queue: number, request: VirtqueueRequest): void {
    const length = Math.min(request.readableBytes, request.writableBytes);
    const bytes = request.read(0, length);
    if (bytes !== undefined && request.write(0, bytes)) port.queues[queue]!.push(request, length);
  }

  const model: VirtioModel<{ resets: 'u8' }> = {
    name: 'virtio-echo',
    version: 1,
    type: 63,
    classCode: 0xff_0000,
    features: 1n,
    queues: [
      { size: 64, maxBytes },
      { size: 16, maxBytes },
    ],
    configSize: 6,
    fields: { resets: 'u8' },
    attach(given) {
      port = given;
      return {
        notified(queue) {
          const ring = port.queues[queue]!;
          for (let request = ring.pop(); request !== undefined; request = ring.pop()) {
            if (late) waiting.push({ queue, request });
            else reply(queue, request);
          }
          ring.notify();
        },
        configWritten(offset, size, value) {
          if (size === 1) port.config[offset] = value;
        },
        reset() {
          port.config.set([1, 2, 3, 4, 5, 6]);
        },
        resumed: (queue, request) => waiting.push({ queue, request }),
      };
    },
  };
  const device = createVirtioPci(options, model);
  return {
    device,
    get port() {
      return port;
    },
    waiting,
    answer() {
      const { queue, request } = waiting.shift()!;
      reply(queue, request);
      port.queues[queue]!.notify();
    },
    answerByName() {
      const { queue, request } = waiting.shift()!;
      const found = port.queues[queue]!.inFlight(request.head, request.id);
      if (found === undefined) return false;
      reply(queue, found);
      port.queues[queue]!.notify();
      return true;
    },
  };
}
