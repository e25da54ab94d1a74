/** The way of vsock packets between a machine and the thread that serves its connections: a wire whose frames are packets. */
import { plainFrame } from '../../base/frame.ts';
import { decodePacket, encodePacket, PACKET_HEADER } from '../../base/vsock-packet.ts';
import type { VsockPort } from '../../devices/virtio-vsock/virtio-vsock.ts';
import { type NetLink, openMachineEnd } from '../link.ts';

/** A socket device as a machine's thread makes it. */
export interface VsockOptions {
  readonly link: NetLink;
  /** The guest's context ID. */
  readonly cid: number;
}

/** Opens the device's end. */
export function openVsockPort(link: NetLink): VsockPort {
  const end = openMachineEnd(link);
  return {
    room: (bytes) => end.room(PACKET_HEADER + bytes),
    send: (packet) => end.send(plainFrame(encodePacket(packet))),
    waits: () => end.next() > 0,
    take: () => decodePacket(end.take().bytes),
    restarted: end.restarted,
  };
}
