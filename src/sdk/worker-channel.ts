/**
 * What passes between the thread of the owner and the thread with the machine beside messages: through memory that both
 * share, or, where there is none, through memory of the machine's thread, which messages of the owner then change.
 */
import { createRingBuffer, openRing, type Ring } from '../base/ring.ts';
import { createBuffer } from '../base/shared-memory.ts';
import { MOST_VCPUS } from '../vm/processors.ts';

/** Words of the control block. */
export const CONTROL = {
  /** 1: end the machine. */
  stop: 0,
  /** Bytes of output sent but not yet taken by the owner; the machine's threads wait while there are too many. */
  unread: 1,
  /** Raised whenever a thread of the machine has something to look at; it sleeps on this word. One for each vCPU's thread. */
  kick: 2,
  /** Times that the owner asked for figures. */
  report: 2 + MOST_VCPUS,
  /** Raised whenever the owner has the machine stand still, which is so while it is odd, or go on. */
  pause: 3 + MOST_VCPUS,
  /** Times that the owner pressed the power button. */
  button: 4 + MOST_VCPUS,
  /** Pages of 4 KiB that the owner wants in the guest's balloon. */
  balloon: 5 + MOST_VCPUS,
  words: 6 + MOST_VCPUS,
} as const;

/** Output under way before the guest is made to wait, in bytes. */
export const OUTPUT_LIMIT = 256 * 1024;
/** Output that the other threads leave to the first, in bytes: more than a vCPU can write in a slice. */
const OUTPUT_ROOM = 256 * 1024;
/** Input under way, in bytes. */
const INPUT_ROOM = 64 * 1024;

export interface Channel {
  readonly control: ArrayBufferLike;
  readonly input: ArrayBufferLike;
  /** What the guest writes in other threads than the first, which sends it on. */
  readonly output: ArrayBufferLike;
}

export function createChannel(): Channel {
  return {
    control: createBuffer(CONTROL.words * 4),
    input: createRingBuffer(INPUT_ROOM),
    output: createRingBuffer(OUTPUT_ROOM),
  };
}

/** Wakes a thread of the machine; all give input and orders to the first. */
export function kick(control: Int32Array, vcpu = 0): void {
  Atomics.add(control, CONTROL.kick + vcpu, 1);
  Atomics.notify(control, CONTROL.kick + vcpu);
}

/** The owner's end. */
export interface OwnerEnd {
  /** The control block, for back ends in other threads that wake the machine; absent where memory is not shared. */
  readonly control?: ArrayBufferLike;
  /** Gives the machine input; returns how many bytes there was room for. */
  write(bytes: Uint8Array): number;
  /** So many bytes of output were taken. */
  taken(count: number): void;
  /** The machine is to look at what back ends have answered. */
  wake(): void;
  /** The machine is to end. */
  stop(): void;
  /** Every thread of the machine is to send its figures. */
  report(): void;
  /** The machine is to stand still, or to go on; each thread tells, with this number, that it stands. */
  pause(count: number): void;
  pressPowerButton(): void;
  /** So many pages of 4 KiB are to be in the guest's balloon. */
  inflate(count: number): void;
}

/** The owner's end where both threads see the channel; also what messages of an owner do in the machine's thread. */
export function openOwnerEnd(channel: Channel): OwnerEnd {
  const control = new Int32Array(channel.control);
  const ring = openRing(channel.input);
  /** Wakes all threads, whatever they wait for. */
  function kickAll(): void {
    for (let vcpu = 0; vcpu < MOST_VCPUS; vcpu++) kick(control, vcpu);
    Atomics.notify(control, CONTROL.unread);
  }
  return {
    control: channel.control,
    write(bytes) {
      const count = ring.write(bytes);
      kick(control);
      return count;
    },
    taken(count) {
      Atomics.sub(control, CONTROL.unread, count);
      Atomics.notify(control, CONTROL.unread);
    },
    wake: () => kick(control),
    stop() {
      Atomics.store(control, CONTROL.stop, 1);
      kickAll();
    },
    report() {
      Atomics.add(control, CONTROL.report, 1);
      kickAll();
    },
    pause(count) {
      Atomics.store(control, CONTROL.pause, count);
      kickAll();
    },
    pressPowerButton() {
      Atomics.add(control, CONTROL.button, 1);
      kick(control);
    },
    inflate(count) {
      Atomics.store(control, CONTROL.balloon, count);
      kick(control);
    },
  };
}

/** What the owner says by messages. */
export type OwnerMessage =
  | { readonly kind: 'input'; readonly bytes: Uint8Array }
  | { readonly kind: 'taken'; readonly count: number }
  | { readonly kind: 'pause' | 'inflate'; readonly count: number }
  | { readonly kind: 'wake' | 'stop' | 'report' | 'pressPowerButton' };

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
    wake: () => post({ kind: 'wake' }),
    stop: () => post({ kind: 'stop' }),
    report: () => post({ kind: 'report' }),
    pause: (count) => post({ kind: 'pause', count }),
    pressPowerButton: () => post({ kind: 'pressPowerButton' }),
    inflate: (count) => post({ kind: 'inflate', count }),
  };
}

/** Does in the machine's thread what a message asks for. */
export function obey(end: OwnerEnd, message: OwnerMessage): void {
  if (message.kind === 'input') end.write(message.bytes);
  else if (message.kind === 'taken') end.taken(message.count);
  else if (message.kind === 'pause' || message.kind === 'inflate') end[message.kind](message.count);
  else end[message.kind]();
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
