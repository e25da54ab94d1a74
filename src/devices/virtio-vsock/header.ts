/** The header of a packet in the guest's buffers (virtio 1.2 5.10.6). */
import { MOST_FROM_GUEST, OPERATION, type VsockPacket } from '../../base/vsock-packet.ts';

export const VSOCK_HEADER = 44;

/** Context IDs: the host's is fixed (5.10.4). */
export const HOST_CID = 2;

const TYPE_STREAM = 1;
const AT = {
  ...{ sourceCid: 0, destinationCid: 8, sourcePort: 16, destinationPort: 20, length: 24, type: 28, operation: 30 },
  ...{ flags: 32, window: 36, consumed: 40 },
} as const;

/** What the guest sent, but for its payload. */
export type PacketHead = Omit<VsockPacket, 'bytes'> & { readonly length: number };

/**
 * Reads the header of a packet with `available` bytes after it. A packet from or to somebody else gives `undefined`; one that is
 * malformed, or of a type or operation that does not exist, has the operation `invalid`.
 */
export function readHeader(header: Uint8Array, available: number, guestCid: number): PacketHead | undefined {
  const view = new DataView(header.buffer, header.byteOffset, VSOCK_HEADER);
  const word = (at: number) => view.getUint32(at, true);
  const cid = (at: number) => word(at + 4) * 2 ** 32 + word(at);
  if (cid(AT.sourceCid) !== guestCid || cid(AT.destinationCid) !== HOST_CID) return undefined;
  const length = word(AT.length);
  const operation = view.getUint16(AT.operation, true);
  const isKnown = operation >= OPERATION.request && operation <= OPERATION.creditRequest;
  const isSound =
    view.getUint16(AT.type, true) === TYPE_STREAM && isKnown && length <= available && length <= MOST_FROM_GUEST;
  return {
    operation: isSound ? operation : OPERATION.invalid,
    hostPort: word(AT.destinationPort),
    guestPort: word(AT.sourcePort),
    flags: word(AT.flags),
    window: word(AT.window),
    consumed: word(AT.consumed),
    length: isSound && operation === OPERATION.data ? length : 0,
  };
}

/** Writes the header of a packet, or a part of one, with `length` bytes of payload. */
export function writeHeader(header: Uint8Array, packet: VsockPacket, length: number, guestCid: number): void {
  const view = new DataView(header.buffer, header.byteOffset, VSOCK_HEADER);
  header.fill(0);
  view.setUint32(AT.sourceCid, HOST_CID, true);
  view.setUint32(AT.destinationCid, guestCid, true);
  view.setUint32(AT.sourcePort, packet.hostPort, true);
  view.setUint32(AT.destinationPort, packet.guestPort, true);
  view.setUint32(AT.length, length, true);
  view.setUint16(AT.type, TYPE_STREAM, true);
  view.setUint16(AT.operation, packet.operation, true);
  view.setUint32(AT.flags, packet.flags, true);
  view.setUint32(AT.window, packet.window, true);
  view.setUint32(AT.consumed, packet.consumed, true);
}
