/**
 * The wire between a machine's network card and its network in another thread: two rings of frames in shared memory. Any
 * thread of the machine may use the card's end, one at a time; nothing about the wire is kept elsewhere.
 */
import type { Frame, FrameSink, Offloads } from '../base/frame.ts';
import { createRingBuffer, openRing, type Ring } from '../base/ring.ts';
import { createBuffer } from '../base/shared-memory.ts';
import type { NetPort } from '../devices/virtio-net/virtio-net.ts';
import { frameOf, RECORD_HEADER, recordLength, writeRecordHeader } from './frame-record.ts';

/** Words that both ends share. */
const WORD = {
  /** Raised to wake the network. */
  kick: 0,
  /** 1: the network sleeps. */
  asleep: 1,
  /** What the guest's driver accepts, as bits. */
  offloads: 2,
  /** 1: the machine, and the network, wait for room. */
  machineWaits: 3,
  networkWaits: 4,
  /** How often the guest started over. */
  restarts: 5,
  count: 8,
} as const;

const OFFLOAD = { checksum: 1, segments4: 2, segments6: 4 } as const;

/** Bytes of each ring: several of the largest frames. */
const CAPACITY = 512 * 1024;
/** Who waited for room is woken when there is this much. */
const ROOM = CAPACITY / 4;

export interface NetLink {
  readonly words: ArrayBufferLike;
  readonly toNetwork: ArrayBufferLike;
  readonly toGuest: ArrayBufferLike;
}

/** A network card as a machine's thread makes it. */
export interface CardOptions {
  readonly link: NetLink;
  readonly mac: Uint8Array;
  readonly mtu: number;
}

export function createNetLink(): NetLink {
  return {
    words: createBuffer(4 * WORD.count),
    toNetwork: createRingBuffer(CAPACITY),
    toGuest: createRingBuffer(CAPACITY),
  };
}

/** Frames in a ring. */
function frames(ring: Ring) {
  const fits = (bytes: number) => ring.room() >= RECORD_HEADER + bytes;
  const header = new Uint8Array(RECORD_HEADER);
  /** Its header comes first: the frame is there when all of it is. */
  function next(): number {
    const available = ring.available();
    const length = available < RECORD_HEADER ? 0 : recordLength(ring.peek(4), 0);
    return available < RECORD_HEADER + length ? 0 : length;
  }
  return {
    ring,
    fits,
    next,
    /** There must be room. */
    put(frame: Frame): void {
      writeRecordHeader(header, frame);
      ring.write(header);
      ring.write(frame.bytes);
    },
    /** There must be one. */
    take: (): Frame => frameOf(ring.read(RECORD_HEADER + next()), 0),
  };
}

function wakeNetwork(words: Int32Array): void {
  Atomics.add(words, WORD.kick, 1);
  Atomics.notify(words, WORD.kick);
}

export interface MachineEnd extends NetPort {
  /** The guest starts over: its connections are gone. */
  restarted(): void;
}

/** Opens the machine's end. */
export function openMachineEnd(link: NetLink): MachineEnd {
  const words = new Int32Array(link.words);
  const out = frames(openRing(link.toNetwork));
  const incoming = frames(openRing(link.toGuest));
  const wakeIfAsleep = () => {
    if (Atomics.load(words, WORD.asleep) === 1) wakeNetwork(words);
  };
  return {
    room(bytes) {
      if (out.fits(bytes)) return true;
      Atomics.store(words, WORD.machineWaits, 1);
      // It may have been emptied meanwhile, by somebody who did not yet know that anybody waits.
      return out.fits(bytes);
    },
    send(frame) {
      out.put(frame);
      wakeIfAsleep();
    },
    next: incoming.next,
    take() {
      const frame = incoming.take();
      if (Atomics.load(words, WORD.networkWaits) === 1 && incoming.ring.room() >= ROOM) {
        Atomics.store(words, WORD.networkWaits, 0);
        wakeNetwork(words);
      }
      return frame;
    },
    accept({ checksum, segments4, segments6 }) {
      const bits =
        (checksum ? OFFLOAD.checksum : 0) | (segments4 ? OFFLOAD.segments4 : 0) | (segments6 ? OFFLOAD.segments6 : 0);
      Atomics.store(words, WORD.offloads, bits);
    },
    restarted() {
      Atomics.add(words, WORD.restarts, 1);
      wakeNetwork(words);
    },
  };
}

/** What stands at the network's end of a card's wire. */
export interface Attached {
  receive(frame: Frame): void;
  /** After the last of some frames that came together. */
  settle(): void;
  wireReady(): void;
  /** The guest started over. */
  reset(): void;
}

export interface NetworkEnd {
  readonly wire: FrameSink;
  /** The next frame of the guest, if one waits. */
  receive(): Frame | undefined;
  /** Whether the wire has room again after it refused a frame; once each time. */
  roomAgain(): boolean;
  /** Whether the guest started over since the last call. */
  restarted(): boolean;
  /** For a sleep: the word to wait on, which value it has, and whether there is nothing to do. */
  readonly words: Int32Array;
  readonly kickWord: number;
  sleep(): { readonly value: number; readonly idle: boolean };
  awake(): void;
}

/** Opens the network's end. `wake` gets the machine's thread to look at its devices. */
export function openNetworkEnd(link: NetLink, wake: () => void): NetworkEnd {
  const words = new Int32Array(link.words);
  const out = frames(openRing(link.toGuest));
  const incoming = frames(openRing(link.toNetwork));
  let restarts = 0;
  let refused = false;

  /** An object for each set of bits, so that asking costs no memory. */
  const known: Offloads[] = Array.from({ length: 8 }, (_, bits) => ({
    checksum: (bits & OFFLOAD.checksum) !== 0,
    segments4: (bits & OFFLOAD.segments4) !== 0,
    segments6: (bits & OFFLOAD.segments6) !== 0,
  }));

  return {
    words,
    kickWord: WORD.kick,
    wire: {
      send(frame) {
        if (!out.fits(frame.bytes.length)) {
          refused = true;
          Atomics.store(words, WORD.networkWaits, 1);
          if (!out.fits(frame.bytes.length)) return false;
        }
        out.put(frame);
        // With others before it, this one will be found by whoever takes them.
        if (out.ring.available() <= RECORD_HEADER + frame.bytes.length) wake();
        return true;
      },
      offloads: () => known[Atomics.load(words, WORD.offloads) & 7]!,
    },
    receive() {
      if (incoming.next() === 0) return undefined;
      const frame = incoming.take();
      if (Atomics.load(words, WORD.machineWaits) === 1 && incoming.ring.room() >= ROOM) {
        Atomics.store(words, WORD.machineWaits, 0);
        wake();
      }
      return frame;
    },
    roomAgain() {
      if (!refused || Atomics.load(words, WORD.networkWaits) === 1) return false;
      refused = false;
      return true;
    },
    restarted() {
      const now = Atomics.load(words, WORD.restarts);
      const changed = now !== restarts;
      restarts = now;
      return changed;
    },
    sleep() {
      const value = Atomics.load(words, WORD.kick);
      Atomics.store(words, WORD.asleep, 1);
      return { value, idle: incoming.next() === 0 };
    },
    awake: () => void Atomics.store(words, WORD.asleep, 0),
  };
}
