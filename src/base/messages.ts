/** Messages through a ring of bytes, for threads that never return to an event loop. Any length: long ones go in pieces. */
import type { Ring } from './ring.ts';

/** Each message follows its length, a u32. */
const LENGTH = 4;

export interface MessageWriter {
  /** Sends a message as far as there is room; the rest follows as `flush` is called. */
  send(message: Uint8Array): void;
  /** Writes what had no room. Returns whether all is written. */
  flush(): boolean;
}

export function createMessageWriter(ring: Ring): MessageWriter {
  const waiting: Uint8Array[] = [];
  function flush(): boolean {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      const written = ring.write(first);
      if (written < first.length) {
        waiting[0] = first.subarray(written);
        return false;
      }
      waiting.shift();
    }
    return true;
  }
  return {
    flush,
    send(message) {
      const length = new Uint8Array(LENGTH);
      new DataView(length.buffer).setUint32(0, message.length, true);
      waiting.push(length, message);
      flush();
    },
  };
}

/** Returns a function that gives the next message, once all of it is there. */
export function createMessageReader(ring: Ring): () => Uint8Array<ArrayBuffer> | undefined {
  const length = new Uint8Array(LENGTH);
  /** Bytes there are of the length, and of the message. */
  let known = 0;
  let filled = 0;
  let message: Uint8Array<ArrayBuffer> | undefined;
  return () => {
    if (message === undefined) {
      const bytes = ring.read(LENGTH - known);
      length.set(bytes, known);
      known += bytes.length;
      if (known < LENGTH) return undefined;
      message = new Uint8Array(new DataView(length.buffer).getUint32(0, true));
    }
    const bytes = ring.read(message.length - filled);
    message.set(bytes, filled);
    filled += bytes.length;
    if (filled < message.length) return undefined;
    const whole = message;
    known = 0;
    filled = 0;
    message = undefined;
    return whole;
  };
}
