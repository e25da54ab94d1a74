/** The network that a command line asks for, opened for a run. */
import { randomFillSync } from 'node:crypto';
import { parseMac } from '../network/address.ts';
import { createNetLink } from '../network/link.ts';
import { createNat, type ForwardRequest, type Nat } from '../network/nat.ts';
import { createHostTimers, createNodeNetwork, hasRoute6 } from '../network/node/host.ts';
import { serveNetLink } from '../network/node/serve.ts';
import type { Access } from '../network/policy.ts';
import type { MachineNetwork } from '../sdk/machine-host.ts';

/** The guest's card. Its network is its own, so that the address need not be unique. */
const MAC = parseMac('52:54:00:12:34:56')!;
const MTU = 1500;

export interface NetworkRequest {
  readonly access: Access;
  /** Whether the gateway is the host's loopback interface for the guest. */
  readonly hostAccess: boolean;
  readonly forwards: readonly ForwardRequest[];
}

export interface OpenNetwork {
  readonly machine: MachineNetwork;
  close(): void;
}

/** Opens a network and its forwarded ports. @throws VirtsError `io` for a port that cannot be had, `usage` for a host that is none. */
export async function openNetwork({ access, hostAccess, forwards }: NetworkRequest): Promise<OpenNetwork> {
  const link = createNetLink();
  let wake = () => {};
  let made: Nat | undefined;
  const service = serveNetLink(
    link,
    () => wake(),
    (wire) => {
      made = createNat({
        ...{ wire, access, hostAccess, mtu: MTU, route6: hasRoute6() },
        host: createNodeNetwork(),
        timers: createHostTimers(),
        random: (bytes) => void randomFillSync(bytes),
      });
      return made;
    },
  );
  const nat = made!;
  function close(): void {
    service.close();
    nat.close();
  }
  try {
    for (const forward of forwards) await nat.forward(forward);
  } catch (error) {
    close();
    throw error;
  }
  return {
    machine: {
      ...{ link, mac: MAC, mtu: MTU },
      wakes(how) {
        wake = how;
      },
    },
    close,
  };
}
