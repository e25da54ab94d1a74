/**
 * What is known of one connection with a guest (RFC 9293 3.3.1). Here the network is one end of it: what the guest
 * sends goes to a socket of the host, and the other way round.
 */
import type { Timer } from '../../base/clock.ts';
import type { Alarms } from '../alarms.ts';
import type { Budget } from '../budget.ts';
import { type ByteQueue, createByteQueue } from '../byte-queue.ts';
import type { OutSegment } from './segment.ts';

/**
 * `new`: neither side has sent a SYN. `open` holds from ESTABLISHED to LAST-ACK: `finReceived` and `finAcknowledged` tell
 * those apart.
 */
export type Phase = 'new' | 'syn-sent' | 'syn-received' | 'open' | 'time-wait' | 'closed';

/** `refused`: the guest answered a SYN by RST. */
export type CloseReason = 'done' | 'reset' | 'refused' | 'timeout';

/** What a connection needs of the network around it, and whom it tells. */
export interface TcpHost {
  readonly alarms: Alarms;
  /** For what a connection holds beyond `BASE_BUFFER` in each direction. */
  readonly budget: Budget;
  /** Sends a segment; `false` where the wire has no room: `pump` is to be called when it has. */
  emit(segment: OutSegment): boolean;
  /** The most payload that one segment may have, for a receiver of segments of `mss` bytes. */
  longest(mss: number): number;
  opened(): void;
  /** Data in order; it counts against the window until it is `consumed`. */
  received(data: Uint8Array): void;
  /** The guest sends no more. */
  ended(): void;
  /** The guest acknowledged data, so that there is room for more. */
  acknowledged(): void;
  /** The connection is no more. */
  closed(reason: CloseReason): void;
}

/** Bytes that each direction of every connection may hold, and how far it may grow. */
export const BASE_BUFFER = 64 * 1024;
export const MOST_BUFFER = 1024 * 1024;

/** A bound for the bytes held in one direction, and when it was last found too small. */
export interface Limit {
  bytes: number;
  /** Bytes that passed since it was raised. */
  passed: number;
}

export interface Tcb {
  readonly host: TcpHost;
  phase: Phase;

  /** Sequence numbers: oldest not acknowledged, next to send, highest sent. */
  sendOldest: number;
  sendNext: number;
  sendHighest: number;
  /** The guest's window in bytes, the largest it ever was, and the segment that told it (RFC 9293 3.10.7.4). */
  sendWindow: number;
  largestWindow: number;
  windowSequence: number;
  windowAcknowledgement: number;
  /** Shift of the windows that the guest tells, and of those told to it; 0 unless both sides scale. */
  sendScale: number;
  receiveScale: number;
  /** Payload bytes of a segment that the guest accepts. */
  mss: number;
  /** From `sendOldest` on. */
  readonly queue: ByteQueue;
  readonly sendLimit: Limit;
  /** FIN is to follow the queue, was sent, was acknowledged. */
  finishing: boolean;
  finSent: boolean;
  finAcknowledged: boolean;
  /** Our FIN went out before the guest's came. */
  closedFirst: boolean;

  /** Loss recovery (RFC 5681, 6582) and its timer (RFC 6298); times in nanoseconds. */
  congestionWindow: number;
  slowStartThreshold: number;
  duplicates: number;
  recovering: boolean;
  /** `sendHighest` when the recovery began. */
  recoverTo: number;
  smoothedRtt: number;
  rttVariation: number;
  timeout: number;
  /** The timer is set to probe a shut window. */
  probing: boolean;
  /** Time-outs, or probes without an answer, in a row. */
  retries: number;
  /** The sequence number whose acknowledgement is timed, and since when; 0 while none is. */
  timedSequence: number;
  timedSince: number;

  /** Next expected from the guest, and the right edge of the window told to it. */
  receiveNext: number;
  receiveEdge: number;
  /** Bytes handed on that the host has not taken. */
  held: number;
  readonly receiveLimit: Limit;
  /** Data beyond a gap, by sequence number, not overlapping. */
  readonly early: { readonly sequence: number; readonly data: Uint8Array }[];
  /** Where the guest's FIN stands, once it came. */
  finSequence: number | undefined;
  finReceived: boolean;
  acknowledge: boolean;

  /** Retransmission, window probes, and the end of TIME-WAIT. */
  timer: Timer | undefined;
  /** The wire had no room. */
  blocked: boolean;
  lastHeard: number;
}

/** Initial time-out (RFC 6298 2.1). */
export const INITIAL_TIMEOUT = 1e9;

/** A segment size that every IPv4 host takes (RFC 9293 3.7.1). */
export const DEFAULT_MSS = 536;

export function createTcb(host: TcpHost, initialSequence: number): Tcb {
  return {
    host,
    phase: 'new',
    sendOldest: initialSequence,
    sendNext: initialSequence,
    sendHighest: initialSequence,
    sendWindow: 0,
    largestWindow: 0,
    windowSequence: 0,
    windowAcknowledgement: 0,
    sendScale: 0,
    receiveScale: 0,
    mss: DEFAULT_MSS,
    queue: createByteQueue(),
    sendLimit: { bytes: BASE_BUFFER, passed: 0 },
    finishing: false,
    finSent: false,
    finAcknowledged: false,
    closedFirst: false,
    congestionWindow: 0,
    slowStartThreshold: Number.POSITIVE_INFINITY,
    duplicates: 0,
    recovering: false,
    recoverTo: initialSequence,
    smoothedRtt: 0,
    rttVariation: 0,
    timeout: INITIAL_TIMEOUT,
    probing: false,
    retries: 0,
    timedSequence: 0,
    timedSince: 0,
    receiveNext: 0,
    receiveEdge: 0,
    held: 0,
    receiveLimit: { bytes: BASE_BUFFER, passed: 0 },
    early: [],
    finSequence: undefined,
    finReceived: false,
    acknowledge: false,
    timer: undefined,
    blocked: false,
    lastHeard: host.alarms.now(),
  };
}

/** Notes that bytes passed; raises a bound that a full window of them passed through, if the budget allows. */
export function grow(limit: Limit, passed: number, budget: Budget): void {
  limit.passed += passed;
  if (limit.passed < limit.bytes || limit.bytes >= MOST_BUFFER) return;
  limit.passed = 0;
  if (budget.take(limit.bytes)) limit.bytes *= 2;
}
