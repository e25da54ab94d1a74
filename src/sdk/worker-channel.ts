/** What the thread of the owner and the thread with the machine share. */
import { createRingBuffer } from '../base/ring.ts';

/** Words of the control block. */
export const CONTROL = {
  /** Raised whenever the machine's thread has something to look at; it sleeps on this word. */
  kick: 0,
  /** 1: end the machine. */
  stop: 1,
  /** Bytes of output sent but not yet taken by the terminal; the machine's thread waits while there are too many. */
  unread: 2,
  words: 4,
} as const;

/** Output under way before the guest is made to wait, in bytes. */
export const OUTPUT_LIMIT = 256 * 1024;

export interface Channel {
  readonly control: SharedArrayBuffer;
  readonly input: SharedArrayBuffer;
}

export function createChannel(): Channel {
  return { control: new SharedArrayBuffer(CONTROL.words * 4), input: createRingBuffer(64 * 1024) };
}

/** Wakes the machine's thread. */
export function kick(control: Int32Array): void {
  Atomics.add(control, CONTROL.kick, 1);
  Atomics.notify(control, CONTROL.kick);
}
