/** A wire whose guest is in the hands of a test, and a user of connections that notes what it is told. */
import { fakeTimers } from '../../base/fake-timers.ts';
import type { Frame, FrameSink } from '../../base/frame.ts';
import { NO_OFFLOADS, plainFrame } from '../../base/frame.ts';
import { decodePacket, encodePacket, OPERATION, type VsockPacket } from '../../base/vsock-packet.ts';
import type { ConnectionEvents, HostConnection } from '../host.ts';
import { createVsock } from './connections.ts';

/** Lets everything happen that is to happen soon. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await undefined;
}

export function vsockWithGuest() {
  const timers = fakeTimers();
  let incoming: VsockPacket[] = [];
  let room = Number.POSITIVE_INFINITY;
  const wire: FrameSink = {
    send({ bytes }: Frame) {
      if (room === 0) return false;
      room--;
      incoming.push(decodePacket(bytes));
      return true;
    },
    offloads: () => NO_OFFLOADS,
  };
  const vsock = createVsock({ wire, timers });
  return {
    timers,
    vsock,
    /** Takes what came for the guest. */
    async packets(): Promise<VsockPacket[]> {
      await settled();
      const taken = incoming;
      incoming = [];
      return taken;
    },
    /** Sends a packet of the guest. */
    say(packet: Partial<VsockPacket> & { operation: number }): void {
      const whole = { hostPort: 0, guestPort: 0, flags: 0, window: 100_000, consumed: 0, bytes: new Uint8Array(0) };
      vsock.receive(plainFrame(encodePacket({ ...whole, ...packet })));
    },
    /** How many packets the wire takes from now on. */
    limit(packets: number): void {
      room = packets;
    },
  };
}

/** Notes what it is told, in words. */
export function noting() {
  const told: string[] = [];
  const bytes: number[] = [];
  const events: ConnectionEvents = {
    connected: () => told.push('connected'),
    received(part) {
      told.push(`received ${part.length}`);
      for (const byte of part) bytes.push(byte);
    },
    ended: () => told.push('ended'),
    flushed: (count) => told.push(`flushed ${count}`),
    closed: (error) => told.push(`closed ${error}`),
  };
  return { told, bytes, events };
}

/** A connection of the host to port 7 of the guest, which has answered. */
export async function connected(guest: ReturnType<typeof vsockWithGuest>, window = 100_000) {
  const user = noting();
  const connection: HostConnection = guest.vsock.connect(7, user.events);
  const [request] = await guest.packets();
  const ports = { hostPort: request!.hostPort, guestPort: 7 };
  guest.say({ ...ports, operation: OPERATION.response, window });
  await settled();
  user.told.length = 0;
  return { ...user, connection, ports };
}
