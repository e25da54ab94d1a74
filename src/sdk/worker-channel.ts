/**
 * What passes between the thread of the owner and the thread with the machine beside messages: through memory that both
 * share, or, where there is none, through memory of the machine's thread, which messages of the owner then change.
 */
import { createRingBuffer, openRing, type Ring } from '../base/ring.ts';
import { createBuffer } from '../base/shared-memory.ts';

/** Words of the control block. */
export const CONTROL = {
  /** Raised whenever the machine's thread has something to look at; it sleeps on this word. */
  kick: 0,
  /** 1: end the machine. */
  stop: 1,
  /** Bytes of output sent but not yet taken by the owner; the machine's thread waits while there are too many. */
  unread: 2,
  words: 4,
} as const;

/** Output under way before the guest is made to wait, in bytes. */
export const OUTPUT_LIMIT = 256 * 1024;
/** Input under way, in bytes. */
const INPUT_ROOM = 64 * 1024;

export interface Channel {
  readonly control: ArrayBufferLike;
  readonly input: ArrayBufferLike;
}

export function createChannel(): Channel {
  return { control: createBuffer(CONTROL.words * 4), input: createRingBuffer(INPUT_ROOM) };
}

/** Wakes the machine's thread. */
export function kick(control: Int32Array): void {
  Atomics.add(control, CONTROL.kick, 1);
  Atomics.notify(control, CONTROL.kick);
}

/** The owner's end. */
export interface OwnerEnd {
  /** Gives the machine input; returns how many bytes there was room for. */
  write(bytes: Uint8Array): number;
  /** So many bytes of output were taken. */
  taken(count: number): void;
  /** The machine is to end. */
  stop(): void;
}

/** The owner's end where both threads see the channel; also what messages of an owner do in the machine's thread. */
export function openOwnerEnd(channel: Channel): OwnerEnd {
  const control = new Int32Array(channel.control);
  const ring = openRing(channel.input);
  return {
    write(bytes) {
      const count = ring.write(bytes);
      kick(control);
      return count;
    },
    taken(count) {
      Atomics.sub(control, CONTROL.unread, count);
      Atomics.notify(control, CONTROL.unread);
    },
    stop() {
      Atomics.store(control, CONTROL.stop, 1);
      kick(control);
      Atomics.notify(control, CONTROL.unread);
    },
  };
}

/** What the owner says by messages. */
export type OwnerMessage =
  | { readonly kind: 'input'; readonly bytes: Uint8Array }
  | { readonly kind: 'taken'; readonly count: number }
  | { readonly kind: 'stop' };

/** The owner's end where it can only send messages. `consumed` is to be told what the machine has taken of the input. */
export function createMessagingEnd(
  post: (message: OwnerMessage) => void,
): OwnerEnd & { consumed(count: number): void } {
  let room = INPUT_ROOM;
  return {
    write(bytes) {
      const count = Math.min(room, bytes.length);
      room -= count;
      if (count > 0) post({ kind: 'input', bytes: bytes.slice(0, count) });
      return count;
    },
    consumed(count) {
      room += count;
    },
    taken: (count) => post({ kind: 'taken', count }),
    stop: () => post({ kind: 'stop' }),
  };
}

/** Does in the machine's thread what a message asks for. */
export function obey(end: OwnerEnd, message: OwnerMessage): void {
  if (message.kind === 'input') end.write(message.bytes);
  else if (message.kind === 'taken') end.taken(message.count);
  else end.stop();
}

/** A ring that tells when something was taken out of it. */
export function watchedRing(ring: Ring, taken: (count: number) => void): Ring {
  return {
    ...ring,
    skip(count) {
      ring.skip(count);
      taken(count);
    },
  };
}
