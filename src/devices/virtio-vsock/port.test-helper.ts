/** A port of the socket device whose other end is in the hands of a test. */
import type { VsockPacket } from '../../base/vsock-packet.ts';
import type { VsockPort } from './virtio-vsock.ts';

export interface FakeVsockPort extends VsockPort {
  /** What the device sent, and what waits to be taken by it. */
  readonly sent: VsockPacket[];
  readonly incoming: VsockPacket[];
  full: boolean;
  /** How often the guest started over. */
  restarts: number;
}

export function createFakePort(): FakeVsockPort {
  const port: FakeVsockPort = {
    sent: [],
    incoming: [],
    full: false,
    restarts: 0,
    room: () => !port.full,
    send: (packet) => void port.sent.push(packet),
    waits: () => port.incoming.length > 0,
    take: () => port.incoming.shift()!,
    restarted() {
      port.restarts++;
    },
  };
  return port;
}
