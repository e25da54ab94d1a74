/** Round-trip time, congestion window, fast retransmission (RFC 6298, 5681, 6582) and what the timer does. */
import { arm, MOST_TIMEOUT, pump, rest, sendData, sendProbe } from './output.ts';
import { advance, distance } from './segment.ts';
import type { Tcb } from './tcb.ts';

/** A guest under load may be slow to answer. */
const LEAST_TIMEOUT = 200e6;

/** Tries without an answer before the guest counts as gone: some ten minutes. */
export const MOST_RETRIES = 15;

const INITIAL_WINDOW = 10;
const MOST_WINDOW = 16 * 1024 * 1024;

export function startCongestionWindow(t: Tcb): void {
  t.congestionWindow = INITIAL_WINDOW * t.mss;
}

/** The guest acknowledged up to `acknowledgement`: how long did that take? */
function measure(t: Tcb, acknowledgement: number): void {
  if (t.timedSince === 0 || distance(acknowledgement, t.timedSequence) < 0) return;
  const rtt = Math.max(1, t.host.alarms.now() - t.timedSince);
  t.timedSince = 0;
  if (t.smoothedRtt === 0) {
    t.smoothedRtt = rtt;
    t.rttVariation = rtt / 2;
  } else {
    t.rttVariation += (Math.abs(t.smoothedRtt - rtt) - t.rttVariation) / 4;
    t.smoothedRtt += (rtt - t.smoothedRtt) / 8;
  }
  t.timeout = Math.min(MOST_TIMEOUT, Math.max(LEAST_TIMEOUT, t.smoothedRtt + 4 * t.rttVariation));
}

function widen(t: Tcb, acknowledged: number): void {
  const slowStart = t.congestionWindow < t.slowStartThreshold;
  const step = slowStart ? acknowledged : (t.mss * acknowledged) / t.congestionWindow;
  t.congestionWindow = Math.min(MOST_WINDOW, t.congestionWindow + step);
}

/** Sends the first segment that is missing once more. */
function resendFirst(t: Tcb): void {
  t.timedSince = 0;
  const length = Math.min(t.mss, t.queue.length, Math.max(1, t.sendWindow));
  if (length > 0) sendData(t, 0, length);
  else {
    // Only the FIN is outstanding.
    t.sendNext = t.sendOldest;
    t.finSent = false;
    pump(t);
  }
}

/** New data was acknowledged and is off the queue. */
export function acknowledged(t: Tcb, count: number, acknowledgement: number): void {
  measure(t, acknowledgement);
  t.retries = 0;
  t.duplicates = 0;
  if (t.recovering && distance(acknowledgement, t.recoverTo) < 0) {
    // A partial acknowledgement: the next hole begins there.
    resendFirst(t);
    t.congestionWindow = Math.max(t.mss, t.congestionWindow - count + t.mss);
  } else if (t.recovering) {
    t.recovering = false;
    t.congestionWindow = Math.max(2 * t.mss, t.slowStartThreshold);
  } else widen(t, count);
  if (distance(t.sendNext, t.sendOldest) > 0) arm(t, t.timeout);
  else rest(t);
}

/** The guest said again that it waits for `sendOldest`. */
export function duplicate(t: Tcb): void {
  t.duplicates++;
  if (t.recovering) t.congestionWindow = Math.min(MOST_WINDOW, t.congestionWindow + t.mss);
  else if (t.duplicates === 3 && distance(t.sendOldest, t.recoverTo) >= 0) {
    const inFlight = distance(t.sendNext, t.sendOldest);
    t.slowStartThreshold = Math.max(inFlight / 2, 2 * t.mss);
    t.congestionWindow = t.slowStartThreshold + 3 * t.mss;
    t.recovering = true;
    t.recoverTo = t.sendHighest;
    resendFirst(t);
    arm(t, t.timeout);
  }
}

/** The timer went off in an open connection. `false`: the guest counts as gone. */
export function timedOut(t: Tcb): boolean {
  const inFlight = distance(t.sendNext, t.sendOldest);
  if (++t.retries > MOST_RETRIES) return false;
  t.timeout = Math.min(MOST_TIMEOUT, t.timeout * 2);
  t.timedSince = 0;
  if (inFlight > 0 && t.sendWindow > 0) {
    t.slowStartThreshold = Math.max(inFlight / 2, 2 * t.mss);
    t.congestionWindow = t.mss;
    t.recovering = false;
    t.recoverTo = t.sendHighest;
    t.duplicates = 0;
    // All that is outstanding goes out again; an acknowledgement of what did arrive skips it.
    t.sendNext = t.sendOldest;
    t.finSent = false;
    pump(t);
    if (t.sendNext === t.sendOldest) arm(t, t.timeout);
  } else {
    sendProbe(t);
    arm(t, t.timeout);
  }
  return true;
}

/** After an acknowledgement beyond `sendNext`, as it can come when all goes out again. */
export function skipTo(t: Tcb, acknowledgement: number): void {
  if (distance(acknowledgement, t.sendNext) > 0) t.sendNext = advance(acknowledgement, 0);
}
