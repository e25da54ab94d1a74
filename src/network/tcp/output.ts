/** What a connection sends: data within the guest's window, acknowledgements, probes, FIN and RST. */
import { advance, distance, FLAG, type OutSegment } from './segment.ts';
import type { Tcb } from './tcb.ts';

/** Our shift for windows: 16 bits reach up to `MOST_BUFFER`. */
export const OUR_SCALE = 5;

/** Longest time between two tries (RFC 6298 2.4). */
export const MOST_TIMEOUT = 60e9;

/** The window to tell, in units of the shift: what may be held less what is. */
function window(t: Tcb): number {
  const promised = Math.max(0, distance(t.receiveEdge, t.receiveNext));
  const free = t.receiveLimit.bytes - t.held;
  // Small advances are not worth telling (silly window syndrome, RFC 9293 3.8.6.2.2).
  const worth = free - promised >= Math.min(2 * t.mss, t.receiveLimit.bytes / 2);
  // What was promised is still taken where the shift cuts it off; rounding up would promise a little more each time.
  return Math.min(0xffff, Math.floor((worth ? free : promised) / 2 ** t.receiveScale));
}

/** Sends a segment with the acknowledgement and window of the moment. */
function emit(t: Tcb, segment: Omit<OutSegment, 'acknowledgement' | 'window'>): boolean {
  const syn = (segment.flags & FLAG.syn) !== 0;
  const units = syn ? Math.min(t.receiveLimit.bytes, 0xffff) : window(t);
  const sent = t.host.emit({ ...segment, acknowledgement: t.receiveNext, window: units });
  if (!sent) {
    t.blocked = true;
    return false;
  }
  const edge = advance(t.receiveNext, syn ? units : units * 2 ** t.receiveScale);
  if (distance(edge, t.receiveEdge) > 0) t.receiveEdge = edge;
  t.acknowledge = false;
  return true;
}

/** Whether the window that could be told is so much larger that the guest should hear of it. */
export function windowWorthTelling(t: Tcb): boolean {
  const promised = Math.max(0, distance(t.receiveEdge, t.receiveNext));
  const gain = t.receiveLimit.bytes - t.held - promised;
  return gain >= t.receiveLimit.bytes / 4 || (promised < t.mss && gain >= t.mss);
}

export function sendAcknowledgement(t: Tcb): void {
  t.acknowledge = true;
  emit(t, { sequence: t.sendNext, flags: FLAG.ack, length: 0 });
}

/** SYN, or SYN and ACK where the guest's SYN came first (RFC 7323 2.2: the shift is told if the guest told one). */
export function sendSyn(t: Tcb, ownMss: number): void {
  const first = t.phase === 'syn-sent';
  const scale = first || t.receiveScale > 0 ? OUR_SCALE : undefined;
  const flags = first ? FLAG.syn : FLAG.syn | FLAG.ack;
  const sent = emit(t, { sequence: t.sendOldest, flags, length: 0, mss: ownMss, windowScale: scale });
  if (sent && t.timedSince === 0 && t.retries === 0) {
    t.timedSequence = advance(t.sendOldest, 1);
    t.timedSince = t.host.alarms.now();
  }
  t.sendNext = advance(t.sendOldest, 1);
  t.sendHighest = t.sendNext;
  arm(t, t.timeout);
}

export function sendReset(t: Tcb): void {
  emit(t, { sequence: t.sendNext, flags: FLAG.rst | FLAG.ack, length: 0 });
}

/** A segment that is out of the window, so that the guest has to answer it with its own window. */
export function sendProbe(t: Tcb): void {
  emit(t, { sequence: advance(t.sendOldest, -1), flags: FLAG.ack, length: 0 });
}

export function arm(t: Tcb, ns: number): void {
  t.timer?.arm(t.host.alarms.now() + Math.min(ns, MOST_TIMEOUT));
}

/** How long a connection rests before its guest may be asked whether it is still there, in nanoseconds. */
const REST = 60e9;

/** Nothing is outstanding: the timer only keeps watch. */
export function rest(t: Tcb): void {
  arm(t, REST);
}

/** Sends `length` bytes of the queue from `offset` on. */
export function sendData(t: Tcb, offset: number, length: number): boolean {
  const last = offset + length === t.queue.length;
  return emit(t, {
    sequence: advance(t.sendOldest, offset),
    flags: FLAG.ack | (last ? FLAG.psh : 0),
    length,
    fill: (bytes, at) => t.queue.copy(offset, length, bytes, at),
  });
}

function sendFin(t: Tcb): boolean {
  if (!emit(t, { sequence: t.sendNext, flags: FLAG.fin | FLAG.ack, length: 0 })) return false;
  t.finSent = true;
  if (!t.finReceived) t.closedFirst = true;
  moveOn(t, 1);
  return true;
}

/** `count` numbers of the sequence went out. */
function moveOn(t: Tcb, count: number): void {
  const idle = t.sendNext === t.sendOldest;
  t.sendNext = advance(t.sendNext, count);
  if (distance(t.sendNext, t.sendHighest) > 0) {
    if (t.timedSince === 0) {
      t.timedSequence = t.sendNext;
      t.timedSince = t.host.alarms.now();
    }
    t.sendHighest = t.sendNext;
  }
  if (idle) arm(t, t.timeout);
}

/** How much of `ready` bytes goes out now; 0 for none. */
function portion(t: Tcb, ready: number, inFlight: number): number {
  const usable = Math.min(t.sendWindow, t.congestionWindow) - inFlight;
  const length = Math.min(ready, usable, t.host.longest(t.mss));
  if (length <= 0) return 0;
  // A small segment waits for the window to open, unless it is all there is (RFC 9293 3.8.6.2.1).
  const small = length < t.mss && length < ready && length < t.largestWindow / 2;
  if (small && inFlight > 0) return 0;
  return length > t.mss && length < ready ? length - (length % t.mss) : length;
}

/** The window is shut, and nothing is under way whose acknowledgement could tell of its opening: probe for it. */
function probeLater(t: Tcb): void {
  if (t.probing) return;
  t.probing = true;
  arm(t, t.timeout);
}

/** Sends all that may go out, and an acknowledgement if one is due. */
export function pump(t: Tcb): void {
  t.blocked = false;
  if (t.phase !== 'open' && t.phase !== 'time-wait') return;
  while (t.phase === 'open' && !t.finAcknowledged) {
    const inFlight = distance(t.sendNext, t.sendOldest);
    if (t.finSent && inFlight > t.queue.length) break;
    const ready = t.queue.length - inFlight;
    if (ready > 0) {
      const length = portion(t, ready, inFlight);
      if (length === 0) {
        if (inFlight === 0) probeLater(t);
        break;
      }
      if (!sendData(t, inFlight, length)) break;
      moveOn(t, length);
    } else if (t.finishing) {
      if (!sendFin(t)) break;
    } else break;
  }
  if (t.acknowledge && !t.blocked) sendAcknowledgement(t);
}
