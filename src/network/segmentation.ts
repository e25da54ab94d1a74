/** Does what a frame's sender left to others, for a receiver that does not do it either. */
import { type Frame, type Offloads, plainFrame } from '../base/frame.ts';
import { checksum, fold } from './checksum.ts';
import { ETHERNET_HEADER, type IpPacket, PROTOCOL, parseIp } from './ip/packet.ts';
import { advance, FLAG, TCP_HEADER } from './tcp/segment.ts';
import { getU16, getU32, setU16, setU32 } from './wire.ts';

/** A frame that stands for more segments than this is not an honest one: segments have hundreds of bytes. */
const MOST_SEGMENTS = 512;

/** CWR: told once, in the first segment (RFC 3168 6.1.2). */
const CWR = 0x80;
const TCP_CHECKSUM = 16;

function isAccepted(
  frame: Frame,
  packet: IpPacket | undefined,
  { checksum: sums, segments4, segments6 }: Offloads,
): boolean {
  if (frame.checksumStart > 0 && !sums) return false;
  return frame.segmentSize === 0 || (packet?.version === 6 ? segments6 : segments4);
}

/** Fills in the missing checksum; `undefined` where its place is out of the frame. */
function complete({ bytes, checksumStart, checksumOffset }: Frame): Frame | undefined {
  const place = checksumStart + checksumOffset;
  if (checksumStart < ETHERNET_HEADER || place + 2 > bytes.length) return undefined;
  const copy = bytes.slice();
  const sum = checksum(copy, checksumStart, copy.length);
  // 0 would mean in UDP that there is none.
  setU16(copy, place, sum === 0 && checksumOffset === 6 ? 0xffff : sum);
  return plainFrame(copy);
}

/** The sum over the pseudo header, for a segment of `length` bytes, out of the one for the whole. */
function pseudoSum(packet: IpPacket, length: number): number {
  const { bytes, from, to } = packet;
  return fold(getU16(bytes, from + TCP_CHECKSUM) + (~(to - from) & 0xffff) + length);
}

/** One TCP segment of `[at, end)` of the payload. */
function segment(packet: IpPacket, header: number, at: number, end: number, index: number): Frame {
  const { bytes, start, from, to, version } = packet;
  const made = new Uint8Array(header + end - at);
  made.set(bytes.subarray(0, header));
  made.set(bytes.subarray(at, end), header);
  const length = made.length - from;
  if (version === 4) {
    setU16(made, start + 2, made.length - start);
    setU16(made, start + 4, (getU16(bytes, start + 4) + index) & 0xffff);
    setU16(made, start + 10, 0);
    setU16(made, start + 10, checksum(made, start, from));
  } else setU16(made, start + 4, made.length - start - 40);
  setU32(made, from + 4, advance(getU32(bytes, from + 4), at - header));
  if (end < to) made[from + 13]! &= ~(FLAG.fin | FLAG.psh);
  if (index > 0) made[from + 13]! &= ~CWR;
  setU16(made, from + TCP_CHECKSUM, pseudoSum(packet, length));
  setU16(made, from + TCP_CHECKSUM, checksum(made, from, made.length));
  return plainFrame(made);
}

function divide(packet: IpPacket, segmentSize: number): Frame[] {
  const { bytes, from, to, protocol } = packet;
  if (protocol !== PROTOCOL.tcp || to - from < TCP_HEADER) return [];
  const header = from + (bytes[from + 12]! >> 4) * 4;
  if (header < from + TCP_HEADER || header > to || (to - header) / segmentSize > MOST_SEGMENTS) return [];
  const frames: Frame[] = [];
  for (let at = header; at < to || frames.length === 0; at += segmentSize) {
    frames.push(segment(packet, header, at, Math.min(at + segmentSize, to), frames.length));
  }
  return frames;
}

/** The frames that give a receiver what `frame` stands for; none where it is malformed. */
export function adapt(frame: Frame, offloads: Offloads): Frame[] {
  if (frame.segmentSize === 0 && frame.checksumStart === 0) return [frame];
  const packet = parseIp(frame.bytes);
  if (isAccepted(frame, packet, offloads)) return [frame];
  if (frame.segmentSize > 0) return packet === undefined ? [] : divide(packet, frame.segmentSize);
  const whole = complete(frame);
  return whole === undefined ? [] : [whole];
}
