/**
 * Requests of a device's queues that a back end in another thread answers. Which are under way is in the queues' state and in the
 * port, so that any thread can take up what another posted.
 */
import type { IoPort, IoPost } from '../../memory/io-link.ts';
import type { VirtioHandlers, VirtioPort } from './model.ts';
import type { VirtqueueRequest } from './virtqueue.ts';

/** Own fields of a device that uses this. */
export const POSTED_FIELDS = {
  /** 1: requests were left in their queues because the port was full. */
  blocked: 'u8',
} as const;

export interface PostedRequestsOptions {
  readonly port: IoPort;
  readonly device: VirtioPort<typeof POSTED_FIELDS>;
  /** What the back end is to do; `undefined` where the request is at its end already. */
  begin(queue: number, request: VirtqueueRequest): Omit<IoPost, 'tag' | 'id'> | undefined;
  /** Returns a request to its driver. */
  finish(queue: number, request: VirtqueueRequest, result: number): void;
  /** Looks at every answer, to requests from before a reset and to none too. */
  answered?(operation: number, result: number): void;
}

export interface PostedRequests extends Required<Pick<VirtioHandlers, 'notified' | 'poll' | 'settled'>> {
  /** Begins a request; `false` if the port has no room for it now. */
  start(queue: number, request: VirtqueueRequest): boolean;
}

export function postedRequests({ port, device, begin, finish, answered }: PostedRequestsOptions): PostedRequests {
  const { queues, state } = device;

  function start(queue: number, request: VirtqueueRequest): boolean {
    const post = begin(queue, request);
    if (post === undefined) return true;
    const outcome = port.post({ ...post, tag: queue * 0x1_0000 + request.head, id: request.id });
    if (outcome === 'unfit') device.fault('a buffer is not in RAM');
    return outcome !== 'full';
  }

  function take(queue: number): void {
    const ring = queues[queue]!;
    for (let request = ring.pop(); request !== undefined; request = ring.pop()) {
      if (start(queue, request)) continue;
      ring.putBack(request);
      state.blocked = 1;
      break;
    }
  }

  /** Returns the requests that the back end has answered. What is no longer known was asked before a reset. */
  function finishAnswered(): void {
    for (let answer = port.collect(); answer !== undefined; answer = port.collect()) {
      answered?.(answer.operation, answer.result);
      const queue = answer.tag >>> 16;
      const request = queues[queue]?.inFlight(answer.tag & 0xffff, answer.id);
      if (request !== undefined) finish(queue, request, answer.result);
    }
  }

  return {
    start,
    notified(queue) {
      take(queue);
      // Answers of another thread wait for `poll`, which is called when the guest has nothing to do and a thousand times a second: a guest
      // that asks for more and more would be interrupted for each of them.
      if (port.direct) finishAnswered();
      for (const ring of queues) ring.notify();
    },
    poll() {
      if (!port.ready() && (state.blocked === 0 || !port.idle())) return;
      finishAnswered();
      if (state.blocked !== 0) {
        state.blocked = 0;
        for (const { index } of queues) take(index);
      }
      for (const queue of queues) queue.notify();
    },
    settled: () => port.idle(),
  };
}
