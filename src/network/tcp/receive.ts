/** Data from the guest: put in order, within the window, handed on. */
import { sendAcknowledgement, windowWorthTelling } from './output.ts';
import { advance, distance, FLAG, type Segment } from './segment.ts';
import { grow, type Tcb } from './tcb.ts';

/** Pieces kept beyond gaps. A guest that leaves more gaps has to send again. */
const MOST_EARLY = 64;

function deliver(t: Tcb, data: Uint8Array): void {
  t.receiveNext = advance(t.receiveNext, data.length);
  t.held += data.length;
  t.host.received(data);
}

/** Keeps what came early. Of bytes that came before, those that came first count. */
function keep(t: Tcb, sequence: number, data: Uint8Array): void {
  if (t.early.length >= MOST_EARLY) return;
  const after = t.early.findIndex((piece) => distance(piece.sequence, sequence) > 0);
  const at = after < 0 ? t.early.length : after;
  const before = t.early[at - 1];
  const next = t.early[at];
  let from = 0;
  let to = data.length;
  if (before !== undefined) {
    from = Math.max(0, distance(advance(before.sequence, before.data.length), sequence));
  }
  if (next !== undefined) to = Math.min(to, distance(next.sequence, sequence));
  // A copy: the piece must not keep a whole frame in memory.
  if (from < to) t.early.splice(at, 0, { sequence: advance(sequence, from), data: data.slice(from, to) });
}

/** Hands on the early pieces that the gap before no longer divides from the rest. */
function deliverEarly(t: Tcb): void {
  while (t.early.length > 0 && t.phase !== 'closed') {
    const { sequence, data } = t.early[0]!;
    const skip = distance(t.receiveNext, sequence);
    if (skip < 0) return;
    t.early.shift();
    if (skip < data.length) deliver(t, data.subarray(skip));
  }
}

/** The payload and FIN of an acceptable segment. */
export function receiveData(t: Tcb, segment: Segment): void {
  const { flags } = segment;
  const size = Math.max(0, distance(t.receiveEdge, t.receiveNext));
  const start = distance(segment.sequence, t.receiveNext);
  const end = start + segment.data.length;
  if ((flags & FLAG.fin) !== 0 && end <= size && t.finSequence === undefined) {
    t.finSequence = advance(segment.sequence, segment.data.length);
  }
  if (segment.data.length > 0 || (flags & FLAG.fin) !== 0) t.acknowledge = true;
  const limit = t.finSequence === undefined ? size : Math.min(size, distance(t.finSequence, t.receiveNext));
  const [from, to] = [Math.max(0, -start), Math.min(segment.data.length, limit - start)];
  if (from < to && !t.finReceived) {
    const data = segment.data.subarray(from, to);
    if (start <= 0) {
      deliver(t, data);
      deliverEarly(t);
    } else {
      keep(t, advance(segment.sequence, from), data);
      // At once, so that the guest sees by repetition what is missing.
      sendAcknowledgement(t);
    }
  }
  if (t.phase === 'closed' || t.finReceived || t.finSequence !== t.receiveNext) return;
  t.finReceived = true;
  t.receiveNext = advance(t.receiveNext, 1);
  t.acknowledge = true;
  t.host.ended();
}

/** The host took `count` bytes of what was handed on. */
export function consumed(t: Tcb, count: number): void {
  if (t.phase === 'closed') return;
  t.held -= count;
  grow(t.receiveLimit, count, t.host.budget);
  if (t.phase === 'open' && !t.finReceived && windowWorthTelling(t)) sendAcknowledgement(t);
}
