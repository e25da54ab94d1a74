/** Queues from which a device sends things on, each a buffer of the driver's. */
import type { Virtqueue, VirtqueueRequest } from './virtqueue.ts';

/** Own fields of a device that uses this. */
export const TRANSMIT_FIELDS = {
  /** 1: buffers wait in the transmit queue for room at the other end. */
  transmitWaits: 'u8',
} as const;

/** Sends what waits, in order. `send`: sends a buffer's content; `false` where there is no room for it, and it waits on. */
export function transmitWaiting(
  queue: Virtqueue,
  state: { transmitWaits: number },
  send: (request: VirtqueueRequest) => boolean,
): void {
  state.transmitWaits = 0;
  for (let request = queue.pop(); request !== undefined; request = queue.pop()) {
    if (!send(request)) {
      queue.putBack(request);
      state.transmitWaits = 1;
      break;
    }
    queue.push(request, 0);
  }
  queue.notify();
}
