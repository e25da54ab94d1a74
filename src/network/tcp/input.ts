/** What a segment does to a connection (RFC 9293 3.10.7). */
import { OUR_SCALE, rest, sendAcknowledgement, sendSyn } from './output.ts';
import { receiveData } from './receive.ts';
import { acknowledged, duplicate, skipTo, startCongestionWindow } from './recovery.ts';
import { advance, distance, FLAG, type Segment } from './segment.ts';
import { type CloseReason, DEFAULT_MSS, grow, type Tcb } from './tcb.ts';

/** Takes what the guest's SYN says. */
export function takeSyn(t: Tcb, segment: Segment, ownMss: number): void {
  t.receiveNext = advance(segment.sequence, 1);
  t.receiveEdge = t.receiveNext;
  // Below the smallest that IPv4 hosts use lies nothing but the wish to make many segments of little.
  t.mss = Math.min(ownMss, Math.max(88, segment.mss ?? DEFAULT_MSS));
  const scales = segment.windowScale !== undefined;
  t.sendScale = scales ? segment.windowScale! : 0;
  t.receiveScale = scales ? OUR_SCALE : 0;
  t.sendWindow = segment.window;
  t.largestWindow = segment.window;
  t.windowSequence = segment.sequence;
  t.windowAcknowledgement = segment.acknowledgement;
  startCongestionWindow(t);
}

/** The three ways in which a segment can end a connection at once. */
type Close = (t: Tcb, reason: CloseReason) => void;

function open(t: Tcb): void {
  t.phase = 'open';
  t.sendOldest = advance(t.sendOldest, 1);
  t.sendNext = t.sendOldest;
  t.retries = 0;
  rest(t);
  t.host.opened();
}

/** The answer to our SYN. */
function synSent(t: Tcb, segment: Segment, ownMss: number, close: Close): void {
  const { flags } = segment;
  const right = (flags & FLAG.ack) !== 0 && segment.acknowledgement === t.sendNext;
  if ((flags & FLAG.rst) !== 0) {
    if (right) close(t, 'refused');
    return;
  }
  if (!right || (flags & FLAG.syn) === 0) return;
  takeSyn(t, segment, ownMss);
  open(t);
  t.acknowledge = true;
}

/** Whether any of the segment lies in the window, or just at its edge (RFC 9293 3.4). */
function acceptable(t: Tcb, segment: Segment): boolean {
  const length = segment.data.length + ((segment.flags & FLAG.fin) !== 0 ? 1 : 0);
  const start = distance(segment.sequence, t.receiveNext);
  const size = Math.max(0, distance(t.receiveEdge, t.receiveNext));
  // An old segment's acknowledgement may be new all the same when the window is shut.
  if (length === 0 || size === 0) return start >= 0 && start <= size;
  return start < size && start + length > 0;
}

function updateWindow(t: Tcb, segment: Segment): void {
  const newer = distance(segment.sequence, t.windowSequence);
  if (newer < 0 || (newer === 0 && distance(segment.acknowledgement, t.windowAcknowledgement) < 0)) return;
  t.sendWindow = segment.window * 2 ** t.sendScale;
  t.largestWindow = Math.max(t.largestWindow, t.sendWindow);
  t.windowSequence = segment.sequence;
  t.windowAcknowledgement = segment.acknowledgement;
  if (t.probing) {
    t.retries = 0;
    if (t.sendWindow > 0) {
      t.probing = false;
      rest(t);
    }
  }
}

function takeAcknowledgement(t: Tcb, segment: Segment): void {
  const { acknowledgement } = segment;
  const count = distance(acknowledgement, t.sendOldest);
  if (count > 0) {
    const bytes = Math.min(count, t.queue.length);
    t.queue.drop(bytes);
    t.sendOldest = acknowledgement;
    skipTo(t, acknowledgement);
    // Only a FIN is counted beyond the queue's bytes.
    if (count > bytes) {
      t.finSent = true;
      t.finAcknowledged = true;
    }
    updateWindow(t, segment);
    acknowledged(t, count, acknowledgement);
    if (bytes > 0) {
      grow(t.sendLimit, bytes, t.host.budget);
      t.host.acknowledged();
    }
    return;
  }
  const sameWindow = segment.window * 2 ** t.sendScale === t.sendWindow;
  const outstanding = t.sendNext !== t.sendOldest;
  updateWindow(t, segment);
  const plain = segment.data.length === 0 && (segment.flags & (FLAG.fin | FLAG.syn)) === 0;
  if (count === 0 && outstanding && sameWindow && plain) duplicate(t);
}

/** An RST ends the connection only from exactly where it should come (RFC 5961 3.2). */
function takeReset(t: Tcb, segment: Segment, close: Close): void {
  if (segment.sequence === t.receiveNext) close(t, 'reset');
  else if (acceptable(t, segment)) sendAcknowledgement(t);
}

/** What comes before a segment's contents count; `false` where it goes no further. */
function passes(t: Tcb, segment: Segment, ownMss: number, close: Close): boolean {
  const { flags } = segment;
  if ((flags & FLAG.rst) !== 0) {
    takeReset(t, segment, close);
    return false;
  }
  if ((flags & FLAG.syn) !== 0) {
    // Our answer to the first one was lost, or somebody guesses (RFC 5961 4.2).
    if (t.phase === 'syn-received' && advance(segment.sequence, 1) === t.receiveNext) sendSyn(t, ownMss);
    else sendAcknowledgement(t);
    return false;
  }
  if (!acceptable(t, segment)) {
    sendAcknowledgement(t);
    return false;
  }
  if ((flags & FLAG.ack) === 0) return false;
  if (distance(segment.acknowledgement, t.sendHighest) > 0) {
    sendAcknowledgement(t);
    return false;
  }
  return true;
}

/** Takes a segment of this connection. `ownMss`: what our SYN tells. */
export function arrive(t: Tcb, segment: Segment, ownMss: number, close: Close): void {
  t.lastHeard = t.host.alarms.now();
  if (t.phase === 'closed' || t.phase === 'new') return;
  if (t.phase === 'syn-sent') {
    synSent(t, segment, ownMss, close);
    return;
  }
  if (!passes(t, segment, ownMss, close)) return;
  if (t.phase === 'syn-received') {
    if (segment.acknowledgement !== t.sendNext) return;
    open(t);
    t.windowSequence = segment.sequence;
    t.windowAcknowledgement = segment.acknowledgement;
    t.sendWindow = segment.window * 2 ** t.sendScale;
    t.largestWindow = t.sendWindow;
  } else takeAcknowledgement(t, segment);
  if (!isClosed(t)) receiveData(t, segment);
}

/** Events may have ended the connection meanwhile. */
function isClosed(t: Tcb): boolean {
  return t.phase === 'closed';
}
