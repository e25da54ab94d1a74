/** A switch between machines (IEEE 802.1D in its simplest form): it learns who is where, and floods what it does not know. */
import type { Frame, FrameSink } from '../base/frame.ts';
import { BROADCAST_MAC, formatMac, type Mac } from './address.ts';
import { ETHERNET_HEADER } from './ip/packet.ts';
import { adapt } from './segmentation.ts';

/** Addresses learned; the one heard from longest ago goes first. */
const MOST_LEARNED = 1024;

export interface SwitchPortOptions {
  /** Towards whoever is plugged in. What it has no room for is lost: nobody waits for a slow one. */
  readonly sink: FrameSink;
  /** The only address that may send here; absent: any. So nobody takes the place of another. */
  readonly mac?: Mac;
}

export interface SwitchPort {
  /** Takes a frame from whoever is plugged in. */
  receive(frame: Frame): void;
  leave(): void;
}

export interface Switch {
  attach(options: SwitchPortOptions): SwitchPort;
  readonly ports: number;
  /** Addresses learned. */
  readonly learned: number;
  /** Frames lost: for want of room, or because their sender was not who it said. */
  readonly lost: { readonly full: number; readonly forged: number };
}

export function createSwitch(): Switch {
  const ports = new Set<SwitchPortOptions>();
  const places = new Map<Mac, SwitchPortOptions>();
  const lost = { full: 0, forged: 0 };

  function learn(mac: Mac, port: SwitchPortOptions): void {
    places.delete(mac);
    if (places.size >= MOST_LEARNED) places.delete(places.keys().next().value!);
    places.set(mac, port);
  }

  function deliver(frame: Frame, port: SwitchPortOptions): void {
    for (const one of adapt(frame, port.sink.offloads())) if (!port.sink.send(one)) lost.full++;
  }

  return {
    get ports() {
      return ports.size;
    },
    get learned() {
      return places.size;
    },
    lost,
    attach(port) {
      ports.add(port);
      if (port.mac !== undefined) learn(port.mac, port);
      return {
        receive(frame) {
          const { bytes } = frame;
          if (!ports.has(port) || bytes.length < ETHERNET_HEADER) return;
          const from = formatMac(bytes, 6);
          const forged = (bytes[6]! & 1) === 1 || (port.mac !== undefined && from !== port.mac);
          // An address that is bound to a port cannot be had at another.
          const owner = places.get(from);
          if (forged || (owner !== port && owner?.mac === from)) {
            lost.forged++;
            return;
          }
          if (port.mac === undefined) learn(from, port);
          const to = formatMac(bytes, 0);
          const known = to === BROADCAST_MAC ? undefined : places.get(to);
          if (known !== undefined) {
            if (known !== port) deliver(frame, known);
          } else for (const other of ports) if (other !== port) deliver(frame, other);
        },
        leave() {
          ports.delete(port);
          for (const [mac, owner] of [...places]) if (owner === port) places.delete(mac);
        },
      };
    },
  };
}
