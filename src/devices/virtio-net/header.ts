/** The header before every frame in a buffer (virtio 1.2 5.1.6), and the feature bits that it follows from. */
import { type Frame, MAX_FRAME } from '../../base/frame.ts';

export const FEATURE = {
  checksum: 0,
  guestChecksum: 1,
  controlOffloads: 2,
  mtu: 3,
  mac: 5,
  guestSegments4: 7,
  guestSegments6: 8,
  hostSegments4: 11,
  hostSegments6: 12,
  mergeable: 15,
  status: 16,
  control: 17,
  controlReceive: 18,
} as const;

export const NET_HEADER = 12;

const FLAG_NEEDS_CHECKSUM = 1;
const SEGMENTS = { none: 0, tcp4: 1, tcp6: 4 } as const;
const ETHERNET_HEADER = 14;
const IPV6 = 0x86dd;

const isV6 = (bytes: Uint8Array): boolean => ((bytes[12]! << 8) | bytes[13]!) === IPV6;

/** A frame that the driver sent, from its header and bytes; a sentence where the driver may not send such a one. */
export function readFrame(header: Uint8Array, bytes: Uint8Array, negotiated: (bit: number) => boolean): Frame | string {
  if (bytes.length < ETHERNET_HEADER || bytes.length > MAX_FRAME) return 'a frame has a wrong length';
  const view = new DataView(header.buffer, header.byteOffset, NET_HEADER);
  let [checksumStart, checksumOffset, segmentSize] = [0, 0, 0];
  if ((header[0]! & FLAG_NEEDS_CHECKSUM) !== 0) {
    checksumStart = view.getUint16(6, true);
    checksumOffset = view.getUint16(8, true);
    const inFrame = checksumStart >= ETHERNET_HEADER && checksumStart + checksumOffset + 2 <= bytes.length;
    if (!negotiated(FEATURE.checksum) || !inFrame) return 'a frame asks for a checksum that it may not have';
  }
  const kind = header[1]!;
  if (kind !== SEGMENTS.none) {
    segmentSize = view.getUint16(4, true);
    const allowed =
      (kind === SEGMENTS.tcp4 && negotiated(FEATURE.hostSegments4)) ||
      (kind === SEGMENTS.tcp6 && negotiated(FEATURE.hostSegments6));
    if (!allowed || segmentSize === 0 || checksumStart === 0)
      return 'a frame asks for a segmentation that is not offered';
  }
  return { bytes, segmentSize, checksumStart, checksumOffset };
}

/** Writes the header of a frame for the driver, which fills `buffers` buffers. */
export function writeHeader(header: Uint8Array, frame: Frame, buffers: number): void {
  const { bytes, checksumStart, checksumOffset, segmentSize } = frame;
  const view = new DataView(header.buffer, header.byteOffset, NET_HEADER);
  header.fill(0);
  view.setUint16(10, buffers, true);
  if (checksumStart === 0) return;
  header[0] = FLAG_NEEDS_CHECKSUM;
  view.setUint16(6, checksumStart, true);
  view.setUint16(8, checksumOffset, true);
  if (segmentSize === 0) return;
  header[1] = isV6(bytes) ? SEGMENTS.tcp6 : SEGMENTS.tcp4;
  view.setUint16(2, checksumStart + ((bytes[checksumStart + 12] ?? 0) >> 4) * 4, true);
  view.setUint16(4, segmentSize, true);
}

/** Which offload a frame needs of the driver, besides the checksum's. */
export function segmentsFeature(frame: Frame): number | undefined {
  if (frame.segmentSize === 0) return undefined;
  return isV6(frame.bytes) ? FEATURE.guestSegments6 : FEATURE.guestSegments4;
}
