/** Where what guests send is to go. */
import { type Address, isV6 } from './address.ts';
import type { Lan } from './lan.ts';
import type { Policy } from './policy.ts';

export interface RoutesOptions {
  readonly lan: Lan;
  readonly policy: Policy;
  /** Whether the gateway's address leads to the host's loopback interface. */
  readonly hostAccess: boolean;
}

export interface Routes {
  /** The host's address for a guest's destination; `undefined` where the guest may not go there. */
  outside(destination: Address): Address | undefined;
  /** Whether it is the network's own name server. */
  isNameServer(destination: Address): boolean;
}

export function createRoutes({ lan, policy, hostAccess }: RoutesOptions): Routes {
  const { gateway, gateway6, nameServer, nameServer6 } = lan.addresses;
  return {
    outside(destination) {
      if (destination === gateway || destination === gateway6) {
        if (!hostAccess) return undefined;
        return isV6(destination) ? '::1' : '127.0.0.1';
      }
      if (lan.isLocal(destination)) return undefined;
      return policy.mayReach(destination) ? destination : undefined;
    },
    isNameServer: (destination) => destination === nameServer || destination === nameServer6,
  };
}
