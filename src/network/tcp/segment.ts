/** TCP segments (RFC 9293 3.1) and sequence numbers. */
import { getU16, getU32, setU16, setU32 } from '../wire.ts';

export const FLAG = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16 } as const;

export const TCP_HEADER = 20;

export interface Segment {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  /** Meaningful with the flag ACK. */
  readonly acknowledgement: number;
  readonly flags: number;
  /** As in the header, not scaled. */
  readonly window: number;
  /** Options of a SYN; `undefined` where absent. */
  readonly mss: number | undefined;
  readonly windowScale: number | undefined;
  /** A view of the payload. */
  readonly data: Uint8Array;
}

/** A segment to be sent, without its ports and its checksum. */
export interface OutSegment {
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  readonly window: number;
  readonly mss?: number;
  readonly windowScale?: number | undefined;
  /** Bytes of payload, and what writes them. */
  readonly length: number;
  fill?(bytes: Uint8Array, at: number): void;
}

/** The distance from `b` to `a`, negative where `a` comes before it. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}

export function advance(sequence: number, by: number): number {
  return (sequence + by) >>> 0;
}

const OPTION = { end: 0, nop: 1, mss: 2, windowScale: 3 } as const;

function parseOptions(bytes: Uint8Array, from: number, to: number): Pick<Segment, 'mss' | 'windowScale'> {
  let mss: number | undefined;
  let windowScale: number | undefined;
  for (let at = from; at < to && bytes[at] !== OPTION.end; ) {
    if (bytes[at] === OPTION.nop) {
      at++;
      continue;
    }
    const length = bytes[at + 1]!;
    if (at + 1 >= to || length < 2 || at + length > to) break;
    if (bytes[at] === OPTION.mss && length === 4) mss = getU16(bytes, at + 2);
    // RFC 7323 2.3: more than 14 counts as 14.
    if (bytes[at] === OPTION.windowScale && length === 3) windowScale = Math.min(14, bytes[at + 2]!);
    at += length;
  }
  return { mss, windowScale };
}

const NO_OPTIONS = { mss: undefined, windowScale: undefined };

/** Reads a segment whose checksum was verified; `undefined` where it is malformed. */
export function parseSegment(bytes: Uint8Array, from: number, to: number): Segment | undefined {
  if (to - from < TCP_HEADER) return undefined;
  const header = (bytes[from + 12]! >> 4) * 4;
  if (header < TCP_HEADER || from + header > to) return undefined;
  const flags = bytes[from + 13]!;
  const options = (flags & FLAG.syn) !== 0 ? parseOptions(bytes, from + TCP_HEADER, from + header) : NO_OPTIONS;
  return {
    sourcePort: getU16(bytes, from),
    destinationPort: getU16(bytes, from + 2),
    sequence: getU32(bytes, from + 4),
    acknowledgement: getU32(bytes, from + 8),
    flags,
    window: getU16(bytes, from + 14),
    ...options,
    data: bytes.subarray(from + header, to),
  };
}

/** Bytes of a segment's header with its options. */
export function headerLength({ mss, windowScale }: OutSegment): number {
  return TCP_HEADER + (mss === undefined ? 0 : 4) + (windowScale === undefined ? 0 : 4);
}

/** Writes a segment, its checksum 0, at `at`. */
export function writeSegment(
  bytes: Uint8Array,
  at: number,
  segment: OutSegment,
  sourcePort: number,
  destinationPort: number,
): void {
  const header = headerLength(segment);
  setU16(bytes, at, sourcePort);
  setU16(bytes, at + 2, destinationPort);
  setU32(bytes, at + 4, segment.sequence);
  setU32(bytes, at + 8, segment.acknowledgement);
  bytes[at + 12] = (header / 4) << 4;
  bytes[at + 13] = segment.flags;
  setU16(bytes, at + 14, segment.window);
  let option = at + TCP_HEADER;
  if (segment.mss !== undefined) {
    bytes[option] = OPTION.mss;
    bytes[option + 1] = 4;
    setU16(bytes, option + 2, segment.mss);
    option += 4;
  }
  if (segment.windowScale !== undefined) {
    bytes.set([OPTION.nop, OPTION.windowScale, 3, segment.windowScale], option);
  }
  segment.fill?.(bytes, at + header);
}
