/** The network that a command line asks for, opened for a run. */
import { randomBytes, randomFillSync } from 'node:crypto';
import type { FrameSink } from '../../base/frame.ts';
import { type Mac, parseMac } from '../../network/address.ts';
import { LAN, type LanAddresses } from '../../network/addresses.ts';
import { createJunction } from '../../network/junction.ts';
import { type Attached, createNetLink } from '../../network/link.ts';
import { createNat, type Forward, type ForwardRequest, type Nat } from '../../network/nat.ts';
import { endpointText } from '../../network/node/errors.ts';
import { createHostTimers, createNodeNetwork, hasNetwork, hasRoute6 } from '../../network/node/host.ts';
import { joinNetwork, type Membership } from '../../network/node/networks.ts';
import { type Service, serveNetLink } from '../../network/node/serve.ts';
import { openSharedSwitch, type SharedSwitch } from '../../network/node/shared-switch.ts';
import type { Access } from '../../network/policy.ts';
import type { MachineNetwork } from '../machine-host.ts';

/** The guest's card where it meets no other machine's, so that the address need not be unique. */
const MAC: Mac = '52:54:00:12:34:56';
const MTU = 1500;

export interface NetworkRequest {
  readonly access: Access;
  /** Whether the gateway is the host's loopback interface for the guest. */
  readonly hostAccess: boolean;
  readonly forwards: readonly ForwardRequest[];
  /** The machine's name, if it has one. */
  readonly name?: string | undefined;
  /** A network that it shares with other machines, and where those are. */
  readonly shared?: { readonly name: string; readonly base: string } | undefined;
}

/** Bytes of frames that a guest received and sent since its start. */
export interface NetworkTraffic {
  received: number;
  sent: number;
}

export interface OpenNetwork {
  readonly machine: MachineNetwork;
  readonly forwards: readonly Forward[];
  /** Forwards more ports. @throws VirtsError `io` for one that cannot be had. */
  forward(request: ForwardRequest): Promise<Forward>;
  readonly traffic: Readonly<NetworkTraffic>;
  close(): void;
}

/** The machine's place in a network with others. */
interface Place {
  readonly membership: Membership;
  readonly fabric: SharedSwitch;
}

async function takePlace({ name, shared }: NetworkRequest): Promise<Place | undefined> {
  if (shared === undefined) return undefined;
  const membership = joinNetwork(shared.base, shared.name, name ?? `virts-${randomBytes(3).toString('hex')}`);
  try {
    return { membership, fabric: await openSharedSwitch(membership.directory, membership.mac) };
  } catch (error) {
    membership.leave();
    throw error;
  }
}

function createRouter(
  { access, hostAccess, name }: NetworkRequest,
  wire: FrameSink,
  place: Place | undefined,
  addresses: LanAddresses,
  tell: (sentence: string) => void,
): Nat {
  return createNat({
    ...{ wire, access, hostAccess, mtu: MTU, addresses, route6: hasRoute6(), name: place?.membership.name ?? name },
    ...(place && { peer: place.membership.find }),
    host: createNodeNetwork({ tell }),
    timers: createHostTimers(),
    random: (bytes) => void randomFillSync(bytes),
  });
}

/** The wire to the guest, counted. */
function countReceived(wire: FrameSink, traffic: NetworkTraffic): FrameSink {
  return {
    ...wire,
    send(frame) {
      const taken = wire.send(frame);
      if (taken) traffic.received += frame.bytes.length;
      return taken;
    },
  };
}

/** What takes the guest's frames, counted. */
function countSent(network: Attached, traffic: NetworkTraffic): Attached {
  return {
    ...network,
    receive(frame) {
      traffic.sent += frame.bytes.length;
      network.receive(frame);
    },
  };
}

/**
 * Opens a network and its forwarded ports. `tell` takes sentences that the user should read.
 * @throws VirtsError `io` for a port that cannot be had, `usage` for a host or a name that is none, `not-found` for a network
 * that is not there.
 */
export async function openNetwork(request: NetworkRequest, tell: (sentence: string) => void): Promise<OpenNetwork> {
  const place = await takePlace(request);
  const addresses = place === undefined ? LAN : { ...LAN, pool: [place.membership.address] };
  const link = createNetLink();
  const forwards: Forward[] = [];
  let wake = () => {};
  let nat: Nat | undefined;
  const traffic: NetworkTraffic = { received: 0, sent: 0 };
  let service: Service | undefined;
  function attach(wire: FrameSink): Attached {
    const counted = countReceived(wire, traffic);
    const router = createRouter(request, counted, place, addresses, tell);
    nat = router;
    const attached =
      place === undefined ? router : createJunction({ wire: counted, router, addresses, plug: place.fabric.plug });
    return countSent(attached, traffic);
  }
  function close(): void {
    service?.close();
    nat?.close();
    place?.fabric.close();
    place?.membership.leave();
  }
  try {
    service = serveNetLink(link, () => wake(), attach);
    for (const forward of request.forwards) forwards.push(await nat!.forward(forward));
  } catch (error) {
    close();
    throw error;
  }
  if (request.access.kind !== 'none' && !hasNetwork()) {
    tell('This host has no network; the guest reaches nothing beyond this host.');
  }
  return {
    traffic,
    machine: {
      ...{ link, mac: parseMac(place?.membership.mac ?? MAC)!, mtu: MTU },
      wakes(how) {
        wake = how;
      },
    },
    forwards,
    forward: (request) => nat!.forward(request),
    close,
  };
}

/** What the user did not choose about forwarded ports, a sentence each. */
export function chosenPorts(requests: readonly ForwardRequest[], forwards: readonly Forward[]): string[] {
  return forwards.flatMap(({ ports }, i) => {
    const { at: asked, upTo, protocol } = requests[i]!;
    if (asked.port !== 0 && upTo === undefined) return [];
    return ports.map(
      ({ at, port }) => `${endpointText(at)} leads to the guest's ${protocol.toUpperCase()} port ${port}.`,
    );
  });
}
