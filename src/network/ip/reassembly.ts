/**
 * Puts fragments together again (RFC 791 3.2, RFC 8200 4.5), within bounds: few packets at a time, none for long, and
 * one whose fragments overlap is dropped (RFC 5722).
 */
import type { IpPacket } from './packet.ts';

/** Nanoseconds from the first fragment on. */
const LIFETIME = 30e9;
const MOST_PACKETS = 16;
/** Of 65,535 bytes in fragments of 8 bytes no more than this are taken. */
const MOST_FRAGMENTS = 256;
const MOST_BYTES = 65_535;

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface Whole {
  readonly expires: number;
  readonly pieces: Piece[];
  /** Bytes of the whole, once the last fragment came. */
  length: number | undefined;
  held: number;
}

export interface Reassembly {
  /** Takes a fragment; the whole packet, when this was the last that was missing. */
  add(packet: IpPacket): IpPacket | undefined;
  /** Packets in part. */
  readonly size: number;
}

/** Sorts a piece in; `false` where it overlaps another. */
function insert(pieces: Piece[], piece: Piece): boolean {
  const index = pieces.findIndex(({ offset }) => offset > piece.offset);
  const at = index < 0 ? pieces.length : index;
  const [before, after] = [pieces[at - 1], pieces[at]];
  if (before !== undefined && before.offset + before.bytes.length > piece.offset) return false;
  if (after !== undefined && piece.offset + piece.bytes.length > after.offset) return false;
  pieces.splice(at, 0, piece);
  return true;
}

/** A packet of the joined pieces, with the header's facts of `last`. */
function join(last: IpPacket, { pieces, length }: Whole): IpPacket {
  const bytes = new Uint8Array(length!);
  for (const piece of pieces) bytes.set(piece.bytes, piece.offset);
  return { ...last, bytes, start: 0, from: 0, to: bytes.length, fragment: undefined };
}

/** `now` gives nanoseconds. */
export function createReassembly(now: () => number): Reassembly {
  const wholes = new Map<string, Whole>();

  function expire(): void {
    for (const [key, { expires }] of wholes) if (expires <= now()) wholes.delete(key);
  }

  function entry(key: string): Whole {
    const found = wholes.get(key);
    if (found !== undefined) return found;
    if (wholes.size >= MOST_PACKETS) wholes.delete(wholes.keys().next().value!);
    const made: Whole = { expires: now() + LIFETIME, pieces: [], length: undefined, held: 0 };
    wholes.set(key, made);
    return made;
  }

  /** Whether the piece fits to what is known of the whole's length. */
  function fits(whole: Whole, end: number, more: boolean): boolean {
    if (end > MOST_BYTES || whole.pieces.length >= MOST_FRAGMENTS) return false;
    if (whole.length !== undefined) return more ? end <= whole.length : end === whole.length;
    const last = whole.pieces.at(-1);
    return more || last === undefined || last.offset + last.bytes.length <= end;
  }

  return {
    get size() {
      return wholes.size;
    },
    add(packet) {
      const { source, destination, protocol, fragment, bytes, from, to } = packet;
      if (fragment === undefined) return packet;
      expire();
      const length = to - from;
      if (length === 0 || (fragment.more && length % 8 !== 0)) return undefined;
      const key = `${source} ${destination} ${protocol} ${fragment.id}`;
      const whole = entry(key);
      const end = fragment.offset + length;
      const piece = { offset: fragment.offset, bytes: bytes.slice(from, to) };
      if (!fits(whole, end, fragment.more) || !insert(whole.pieces, piece)) {
        wholes.delete(key);
        return undefined;
      }
      if (!fragment.more) whole.length = end;
      whole.held += length;
      if (whole.held !== whole.length) return undefined;
      wholes.delete(key);
      return join(packet, whole);
    },
  };
}
