/** A wire whose other end is in the hands of a test. */
import { type Frame, NO_OFFLOADS, type Offloads } from '../../base/frame.ts';
import type { NetPort } from './virtio-net.ts';

export interface FakeWire extends NetPort {
  /** What the device sent, what waits to be taken by it, and what its driver accepts. */
  readonly sent: Frame[];
  readonly incoming: Frame[];
  offloads: Offloads;
  full: boolean;
}

export function createFakeWire(): FakeWire {
  const wire: FakeWire = {
    sent: [],
    incoming: [],
    offloads: NO_OFFLOADS,
    full: false,
    room: () => !wire.full,
    send: (frame) => void wire.sent.push(frame),
    next: () => wire.incoming[0]?.bytes.length ?? 0,
    take: () => wire.incoming.shift()!,
    accept(offloads) {
      wire.offloads = offloads;
    },
  };
  return wire;
}
