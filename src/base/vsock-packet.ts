/**
 * What passes between a machine's vsock device and whoever serves its connections: packets of streams between a port of the
 * guest and a port of the host. The device knows addresses and buffers of the guest, the other side connections and credit.
 */

/** What a packet does; `invalid` stands for one of the guest's that the device could make nothing of. */
export const OPERATION = {
  invalid: 0,
  request: 1,
  response: 2,
  reset: 3,
  shutdown: 4,
  data: 5,
  creditUpdate: 6,
  creditRequest: 7,
} as const;

/** Flags of a shutdown: the sender receives no more, and sends no more. */
export const SHUTDOWN = { receive: 1, send: 2 } as const;

/** Most bytes of one packet, from the guest and to it. */
export const MOST_FROM_GUEST = 64 * 1024;
export const MOST_TO_GUEST = 4096;

/** Numbers are unsigned and of 32 bits. */
export interface VsockPacket {
  readonly operation: number;
  readonly hostPort: number;
  readonly guestPort: number;
  readonly flags: number;
  /** The sender's receive buffer in bytes, and how many bytes of the stream it has handed on, modulo 2^32. */
  readonly window: number;
  readonly consumed: number;
  /** They belong to whoever was given the packet. */
  readonly bytes: Uint8Array;
}

/** Bytes before a packet's own, where it is a record. */
export const PACKET_HEADER = 24;

/** A packet as one record. */
export function encodePacket(packet: VsockPacket): Uint8Array {
  const record = new Uint8Array(PACKET_HEADER + packet.bytes.length);
  const view = new DataView(record.buffer);
  const { operation, hostPort, guestPort, flags, window, consumed } = packet;
  for (const [i, value] of [operation, hostPort, guestPort, flags, window, consumed].entries()) {
    view.setUint32(4 * i, value, true);
  }
  record.set(packet.bytes, PACKET_HEADER);
  return record;
}

/** The packet in a record that `encodePacket` made; its bytes are the record's. */
export function decodePacket(record: Uint8Array): VsockPacket {
  const view = new DataView(record.buffer, record.byteOffset, PACKET_HEADER);
  const word = (index: number) => view.getUint32(4 * index, true);
  return {
    operation: word(0),
    hostPort: word(1),
    guestPort: word(2),
    flags: word(3),
    window: word(4),
    consumed: word(5),
    bytes: record.subarray(PACKET_HEADER),
  };
}
