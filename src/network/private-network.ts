/** A network of several machines: a switch, and the router that gives them addresses, names and, if allowed, the outside. */

import { VirtsError } from '../base/errors.ts';
import type { Frame, FrameSink } from '../base/frame.ts';
import type { Mac } from './address.ts';
import { GATEWAY_NAME, LAN } from './addresses.ts';
import { createNat, type Nat, type NatOptions } from './nat.ts';
import { createSwitch, type Switch } from './switch.ts';

export interface Member {
  /** By which the others find it: letters, digits and hyphens, up to 63. */
  readonly name: string;
  readonly mac: Mac;
  readonly sink: FrameSink;
}

/** A machine's place in the network. */
export interface Membership {
  /** Takes a frame of the machine. */
  receive(frame: Frame): void;
  /** After the last of some frames that came together. */
  settle(): void;
  leave(): void;
}

export interface PrivateNetwork {
  /** @throws VirtsError `usage` for a name or an address that is taken, or a name that is none. */
  join(member: Member): Membership;
  /** For forwarded ports, and to close it all. */
  readonly nat: Nat;
  readonly switch: Switch;
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** `access` is what all of its machines may reach outside. */
export function createPrivateNetwork(options: Omit<NatOptions, 'wire' | 'nameOf' | 'macOf'>): PrivateNetwork {
  const fabric = createSwitch();
  const members = new Map<string, Member>();
  const nat: Nat = createNat({
    ...options,
    // What a machine does not take, the switch does for it.
    wire: {
      send(frame) {
        router.receive(frame);
        return true;
      },
      offloads: () => ({ checksum: true, segments4: true, segments6: true }),
    },
    nameOf: (mac) => [...members.values()].find((member) => member.mac === mac)?.name,
    macOf: (name) => members.get(name.toLowerCase())?.mac,
  });
  const router = fabric.attach({
    mac: (options.addresses ?? LAN).mac,
    sink: {
      send(frame) {
        nat.receive(frame);
        return true;
      },
      offloads: () => ({ checksum: true, segments4: true, segments6: true }),
    },
  });

  return {
    nat,
    switch: fabric,
    join(member) {
      const name = member.name.toLowerCase();
      const taken = members.has(name) || [...members.values()].some(({ mac }) => mac === member.mac);
      if (!NAME.test(name) || name === GATEWAY_NAME) {
        throw new VirtsError('usage', `'${member.name}' is no name for a machine; use letters, digits and hyphens.`);
      }
      if (taken)
        throw new VirtsError('usage', `The network has a machine called '${name}', or with its address, already.`);
      members.set(name, member);
      const port = fabric.attach({ sink: member.sink, mac: member.mac });
      return {
        receive: port.receive,
        settle: nat.settle,
        leave() {
          port.leave();
          members.delete(name);
        },
      };
    },
  };
}
