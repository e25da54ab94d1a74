/**
 * The worker that runs a machine in a page. Where memory is shared it sleeps until there is something to do, as in Node; else
 * it runs slices of guest code in turns with its event loop, which brings the owner's messages.
 */
import { openRing } from '../base/ring.ts';
import { type EventLoop, type RunEnd, runBlocking, runOnEventLoop } from '../sdk/machine-loop.ts';
import { ownLoop, serveMachine, type ThreadMessage } from '../sdk/machine-thread.ts';
import { createChannel, type OwnerMessage, obey, openOwnerEnd, watchedRing } from '../sdk/worker-channel.ts';
import type { WorkerStart } from './machine-options.ts';

const hostClock = performance;

/** Most bytes that `getRandomValues` gives at once (Web Cryptography 10.1.1). It takes no memory that is shared. */
const RANDOM_BYTES = 65536;
function random(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += RANDOM_BYTES) {
    const part = bytes.subarray(at, at + RANDOM_BYTES);
    part.set(crypto.getRandomValues(new Uint8Array(part.length)));
  }
}

const post = (message: ThreadMessage) => self.postMessage(message);

/** Timers that follow one another are slow in browsers; messages are not. */
function createEventLoop() {
  const { port1, port2 } = new MessageChannel();
  let turned = () => {};
  let woken = () => {};
  port1.addEventListener('message', () => turned());
  port1.start();
  const loop: EventLoop = {
    turn: () =>
      new Promise((resolve) => {
        turned = resolve;
        port2.postMessage(undefined);
      }),
    wait: ({ ms }) =>
      new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        woken = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
  };
  return { loop, wake: () => woken() };
}

async function serve(start: WorkerStart): Promise<void> {
  const channel = start.channel ?? createChannel();
  const control = new Int32Array(channel.control as SharedArrayBuffer);
  const ring = openRing(channel.input);
  const output = openRing(channel.output);
  // The clock of each worker counts from the worker's own start.
  const ahead = hostClock.timeOrigin - start.timeOrigin;
  const now = () => hostClock.now() + ahead;
  const host = { control, output, post, random, now };
  if (start.channel !== undefined) {
    await serveMachine(start, { ...host, input: ring }, (thread): RunEnd => {
      thread.started();
      return runBlocking(ownLoop(thread), control);
    });
    return;
  }
  const { loop, wake } = createEventLoop();
  const end = openOwnerEnd(channel);
  self.addEventListener('message', ({ data }: MessageEvent<OwnerMessage>) => {
    obey(end, data);
    wake();
  });
  const input = watchedRing(ring, (count) => post({ kind: 'consumed', count }));
  await serveMachine(start, { ...host, input }, (thread) => {
    thread.started();
    return runOnEventLoop(ownLoop(thread), loop);
  });
}

self.addEventListener('message', ({ data }: MessageEvent<WorkerStart>) => void serve(data), { once: true });
