/**
 * A guest's TCP for tests, simple on purpose and sharing nothing with what it tests: it sends a window at a time, sends all
 * of it again when a timer runs out, and keeps what comes early. Between the two lies a wire that loses, doubles and
 * reorders segments by a seed.
 */
import { type FakeTimers, fakeTimers } from '../../base/fake-timers.ts';
import { randomNumbers } from '../../devices/conformance.test-helper.ts';
import { createAlarms } from '../alarms.ts';
import { createBudget } from '../budget.ts';
import { createConnection, type TcpConnection } from './connection.ts';
import type { OutSegment, Segment } from './segment.ts';
import type { CloseReason } from './tcb.ts';

const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

export interface WireOptions {
  readonly seed?: number;
  /** Parts of a thousand. */
  readonly loss?: number;
  readonly doubled?: number;
  /** Longest delay in milliseconds; segments overtake each other where it is not 0. */
  readonly delay?: number;
  /** Most payload of a segment from the network: several of the peer's where it is larger. */
  readonly longest?: number;
  readonly mss?: number;
  readonly scale?: number | undefined;
}

export interface Peer {
  /** What arrived, in order. */
  readonly received: number[];
  /** The other side sent FIN, and RST. */
  ended: boolean;
  reset: boolean;
  /** Whether all it sent, FIN included, was acknowledged. */
  done(): boolean;
  /** Opens the connection. */
  connect(): void;
  send(data: Uint8Array): void;
  finish(): void;
  abort(): void;
  /** Bytes that it takes at present; 0 shuts the window. Told to the other side at once. */
  setWindow(bytes: number): void;
  /** Stops answering. */
  vanish(): void;
}

export interface Rig {
  readonly timers: FakeTimers;
  readonly peer: Peer;
  readonly tcp: TcpConnection;
  /** What the network's side was told. */
  readonly got: number[];
  readonly events: string[];
  closed: CloseReason | undefined;
  /** Bytes handed on that the test has not consumed; `hold` keeps them from being consumed at once. */
  held: number;
  hold: boolean;
  /** The wire refuses segments. */
  full: boolean;
  /** What the peer sends is lost. */
  deaf: boolean;
  /** Segments that went to the peer, as the network sent them. */
  readonly sent: OutSegment[];
  readonly budget: ReturnType<typeof createBudget>;
  /** Runs until `done`, at most so many seconds of its time. */
  run(done: () => boolean, seconds?: number): boolean;
}

export function createRig(options: WireOptions = {}): Rig {
  const { seed = 1, loss = 0, doubled = 0, delay = 0, mss = 1460, longest = mss } = options;
  const random = randomNumbers(seed);
  const timers = fakeTimers();
  const alarms = createAlarms(timers);
  const budget = createBudget(1 << 24);

  /** Puts something on the wire, in a thousandth of a second or later. */
  function carry(deliver: () => void): void {
    const copies = random() % 1000 < doubled ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (random() % 1000 < loss) continue;
      timers.timer(deliver).arm(timers.now() + 1000 + (delay === 0 ? 0 : random() % (delay * 1e6)));
    }
  }

  const rig = {
    timers,
    got: [] as number[],
    events: [] as string[],
    closed: undefined as CloseReason | undefined,
    held: 0,
    hold: false,
    full: false,
    deaf: false,
    sent: [] as OutSegment[],
    budget,
  };
  const tcp = createConnection(
    {
      alarms,
      budget,
      longest: () => longest,
      emit(segment) {
        if (rig.full) return false;
        rig.sent.push(segment);
        const data = new Uint8Array(segment.length);
        segment.fill?.(data, 0);
        const { sequence, acknowledgement, flags, window } = segment;
        // As the wire would divide what stands for several.
        const count = Math.max(1, Math.ceil(data.length / mss));
        for (let i = 0; i < count; i++) {
          const part = data.subarray(i * mss, (i + 1) * mss);
          const partFlags = i === count - 1 ? flags : flags & ~FIN;
          carry(() =>
            peerArrive({
              sequence: (sequence + i * mss) >>> 0,
              acknowledgement,
              flags: partFlags,
              window,
              data: part,
              scale: segment.windowScale,
            }),
          );
        }
        return true;
      },
      opened: () => rig.events.push('opened'),
      received(data) {
        for (const byte of data) rig.got.push(byte);
        rig.held += data.length;
        if (rig.hold) return;
        consumeLater(data.length);
      },
      ended: () => rig.events.push('ended'),
      acknowledged: () => rig.events.push('acknowledged'),
      closed(reason) {
        rig.closed = reason;
        rig.events.push(`closed ${reason}`);
      },
    },
    mss,
    random(),
  );
  /** As a socket does it. */
  function consumeLater(count: number): void {
    timers
      .timer(() => {
        rig.held -= count;
        tcp.consumed(count);
      })
      .arm(timers.now() + 500);
  }

  const first = random();
  const peerScale = 'scale' in options ? options.scale : 3;
  let window = 0x1_0000;
  let sendOldest = first;
  let output: number[] = [];
  let finishing = false;
  let finAcknowledged = false;
  let state: 'closed' | 'syn-sent' | 'open' = 'closed';
  let next = 0;
  let theirWindow = 0;
  let theirScale = 0;
  let ourScale = 0;
  let silent = false;
  const early = new Map<number, Uint8Array>();
  let finAt: number | undefined;
  const retry = timers.timer(() => {
    transmit();
  });

  function toNetwork(flags: number, sequence: number, data: Uint8Array, syn = false): void {
    if (silent || rig.deaf) return;
    const segment: Segment = {
      sourcePort: 1000,
      destinationPort: 80,
      sequence,
      acknowledgement: next,
      flags,
      window: Math.min(0xffff, syn ? window : window >>> ourScale),
      mss: syn ? mss : undefined,
      windowScale: syn ? peerScale : undefined,
      data,
    };
    carry(() => {
      if ((flags & SYN) !== 0 && (flags & ACK) === 0) {
        if (accepted) tcp.arrive(segment);
        else tcp.accept(segment);
        accepted = true;
      } else tcp.arrive(segment);
      tcp.pump();
    });
  }
  let accepted = false;

  /** Everything that may be outstanding, all over again. */
  function transmit(): void {
    if (silent || peer.reset) return;
    if (state === 'syn-sent') toNetwork(SYN, (sendOldest - 1) >>> 0, new Uint8Array(0), true);
    else if (state === 'open' && !finAcknowledged) {
      const room = Math.max(theirWindow, 1);
      const part = Uint8Array.from(output.slice(0, Math.min(room, 20 * mss)));
      for (let at = 0; at < part.length; at += mss) {
        toNetwork(ACK, (sendOldest + at) >>> 0, part.slice(at, at + mss));
      }
      if (finishing && part.length === output.length) {
        toNetwork(FIN | ACK, (sendOldest + output.length) >>> 0, new Uint8Array(0));
      }
      if (output.length === 0 && !finishing) return;
    } else return;
    retry.arm(timers.now() + 300e6);
  }

  interface Incoming {
    readonly sequence: number;
    readonly acknowledgement: number;
    readonly flags: number;
    readonly window: number;
    readonly data: Uint8Array;
    readonly scale: number | undefined;
  }

  function take(data: Uint8Array): void {
    next = (next + data.length) >>> 0;
    for (const byte of data) peer.received.push(byte);
  }

  function peerArrive(segment: Incoming): void {
    if (silent || state === 'closed') {
      if (!silent && (segment.flags & SYN) !== 0 && (segment.flags & ACK) === 0) passiveOpen(segment);
      return;
    }
    if ((segment.flags & RST) !== 0) {
      peer.reset = true;
      retry.cancel();
      return;
    }
    theirWindow = segment.window << ((segment.flags & SYN) !== 0 ? 0 : theirScale);
    const acknowledged = (segment.acknowledgement - sendOldest) | 0;
    if (state === 'syn-sent') {
      if ((segment.flags & (SYN | ACK)) !== (SYN | ACK) || acknowledged !== 0) return;
      state = 'open';
      next = (segment.sequence + 1) >>> 0;
      scales(segment.scale);
      toNetwork(ACK, sendOldest, new Uint8Array(0));
      transmit();
      return;
    }
    if (acknowledged > 0) {
      const bytes = Math.min(acknowledged, output.length);
      output = output.slice(bytes);
      sendOldest = segment.acknowledgement;
      if (acknowledged > bytes) finAcknowledged = true;
      retry.cancel();
      transmit();
    }
    const start = (segment.sequence - next) | 0;
    const mine = segment.data.length > 0 || (segment.flags & (FIN | SYN)) !== 0 || start < 0;
    if ((segment.flags & FIN) !== 0) finAt = (segment.sequence + segment.data.length) >>> 0;
    if (segment.data.length > 0 && start > 0 && start < window) early.set(segment.sequence, segment.data);
    else if (start <= 0 && start + segment.data.length > 0) {
      take(segment.data.subarray(-start, Math.min(segment.data.length, -start + window)));
    }
    for (let more = true; more; ) {
      more = false;
      for (const [sequence, data] of early) {
        const skip = (next - sequence) | 0;
        if (skip < 0) continue;
        early.delete(sequence);
        if (skip < data.length) take(data.subarray(skip));
        more = true;
      }
    }
    if (finAt === next && !peer.ended) {
      peer.ended = true;
      next = (next + 1) >>> 0;
    }
    if (mine) toNetwork(ACK, sendOldest, new Uint8Array(0));
  }

  function scales(theirs: number | undefined): void {
    theirScale = theirs !== undefined && peerScale !== undefined ? theirs : 0;
    ourScale = theirs !== undefined && peerScale !== undefined ? peerScale : 0;
  }

  /** The network connects to the peer. */
  function passiveOpen(segment: Incoming): void {
    state = 'open';
    next = (segment.sequence + 1) >>> 0;
    scales(segment.scale);
    theirWindow = segment.window;
    const syn: Segment = {
      ...{ sourcePort: 1000, destinationPort: 80, sequence: (sendOldest - 1) >>> 0, acknowledgement: next },
      ...{ flags: SYN | ACK, window: Math.min(window, 0xffff), mss, windowScale: peerScale, data: new Uint8Array(0) },
    };
    carry(() => {
      tcp.arrive(syn);
      tcp.pump();
    });
  }

  const peer: Peer = {
    received: [],
    ended: false,
    reset: false,
    done: () => output.length === 0 && (!finishing || finAcknowledged),
    connect() {
      state = 'syn-sent';
      transmit();
    },
    send(data) {
      for (const byte of data) output.push(byte);
      transmit();
    },
    finish() {
      finishing = true;
      transmit();
    },
    abort: () => toNetwork(RST | ACK, sendOldest, new Uint8Array(0)),
    setWindow(bytes) {
      window = bytes;
      if (state === 'open') toNetwork(ACK, sendOldest, new Uint8Array(0));
    },
    vanish() {
      silent = true;
      retry.cancel();
    },
  };

  return Object.assign(rig, {
    peer,
    tcp,
    run(done: () => boolean, seconds = 300): boolean {
      const end = timers.now() + seconds * 1e9;
      while (!done() && timers.now() < end) timers.advance(1e6);
      return done();
    },
  });
}

/** Bytes that tell where they belong. */
export function pattern(length: number, seed = 7): Uint8Array {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length }, () => random() & 0xff);
}
