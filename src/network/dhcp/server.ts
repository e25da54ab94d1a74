/**
 * The DHCP server (RFC 2131): one address for each MAC address, out of a pool, kept for as long as it is renewed. Client
 * identifiers do not count: a machine would take one address for each system that it boots.
 */
import { type Address, ANY4, type Mac } from '../address.ts';
import { DHCP, type DhcpReply, type DhcpRequest, parseRequest, writeReply } from './message.ts';

export interface DhcpServerOptions {
  readonly server: Address;
  readonly maskBits: number;
  readonly router: Address;
  readonly nameServer: Address;
  readonly mtu: number;
  readonly domain: string;
  /** Addresses to give, in this order. */
  readonly pool: readonly Address[];
  /** What the client is called here. */
  readonly hostName?: string | undefined;
  /** Nanoseconds. */
  now(): number;
}

export interface Lease {
  readonly address: Address;
  readonly mac: Mac;
}

export interface DhcpAnswer {
  readonly bytes: Uint8Array;
  /** Where to: to everybody, or to the client at its address. */
  readonly to: 'all' | Address;
  readonly mac: Mac;
}

export interface DhcpServer {
  /** Answers a client's message; `undefined` where nothing is to be said. */
  receive(message: Uint8Array): DhcpAnswer | undefined;
  /** Addresses in use. */
  leases(): Lease[];
  /** Takes back a lease of a machine that was saved; one that is not in the pool is none. */
  restore(lease: Lease): void;
}

/** Seconds. Long, for a machine may stand still for hours, and nobody else wants its address. */
const LEASE = 86_400;
const OFFER_NS = 60e9;
/** An address that a client found in use rests for so long. */
const DECLINE_NS = 600e9;

interface Entry {
  readonly mac: Mac;
  expires: number;
  /** Offered and not yet asked for, taken, or found in use by somebody else. */
  state: 'offered' | 'taken' | 'declined';
}

export function createDhcpServer(options: DhcpServerOptions): DhcpServer {
  const { pool, now } = options;
  const entries = new Map<Address, Entry>();

  const mine = (address: Address | undefined, mac: Mac): boolean => {
    const entry = address === undefined ? undefined : entries.get(address);
    return entry?.mac === mac && entry.state !== 'declined';
  };

  const free = (address: Address): boolean => {
    const entry = entries.get(address);
    return entry === undefined || entry.expires <= now();
  };

  /** The client's own address, the one it wishes, the first free one, or the one offered longest ago to no avail. */
  function choose({ mac, requested }: DhcpRequest): Address | undefined {
    for (const address of entries.keys()) if (mine(address, mac)) return address;
    if (requested !== undefined && pool.includes(requested) && free(requested)) return requested;
    return pool.find((address) => !entries.has(address)) ?? pool.find(free) ?? stalest();
  }

  function stalest(): Address | undefined {
    for (const [address, { state }] of entries) if (state === 'offered') return address;
    return undefined;
  }

  function enter(address: Address, { mac }: DhcpRequest, state: Entry['state'], ns: number): void {
    entries.delete(address);
    entries.set(address, { mac, state, expires: now() + ns });
  }

  function settings(lease: number | undefined): NonNullable<DhcpReply['settings']> {
    const { maskBits, router, nameServer, mtu, domain, hostName } = options;
    return {
      ...{ maskBits, router, nameServer, mtu, domain, hostName },
      ...(lease === undefined ? {} : { lease }),
    };
  }

  const refusal: DhcpReply = { type: DHCP.nak, address: ANY4, server: options.server };

  function offer(request: DhcpRequest): DhcpReply | undefined {
    const address = choose(request);
    if (address === undefined) return undefined;
    if (!mine(address, request.mac)) enter(address, request, 'offered', OFFER_NS);
    return { type: DHCP.offer, address, server: options.server, settings: settings(LEASE) };
  }

  function grant(request: DhcpRequest): DhcpReply | undefined {
    // A client that chose another server takes back its interest in this one.
    if (request.server !== undefined && request.server !== options.server) {
      release(request);
      return undefined;
    }
    const address = request.requested ?? request.own;
    if (!pool.includes(address)) return refusal;
    if (!mine(address, request.mac) && !free(address)) return refusal;
    for (const other of [...entries.keys()]) if (other !== address && mine(other, request.mac)) entries.delete(other);
    enter(address, request, 'taken', LEASE * 1e9);
    return { type: DHCP.ack, address, server: options.server, settings: settings(LEASE) };
  }

  /** The address stays the client's if it comes back before anybody else needs it. */
  function release({ mac }: DhcpRequest): void {
    for (const [address, entry] of entries) if (mine(address, mac)) entry.expires = Math.min(entry.expires, now());
  }

  function reply(request: DhcpRequest): DhcpReply | undefined {
    switch (request.type) {
      case DHCP.discover:
        return offer(request);
      case DHCP.request:
        return grant(request);
      case DHCP.inform:
        return { type: DHCP.ack, address: ANY4, server: options.server, settings: settings(undefined) };
      case DHCP.decline:
        if (mine(request.requested, request.mac)) enter(request.requested!, request, 'declined', DECLINE_NS);
        return undefined;
      case DHCP.release:
        release(request);
        return undefined;
      default:
        return undefined;
    }
  }

  return {
    receive(message) {
      const request = parseRequest(message);
      const answer = request && reply(request);
      if (request === undefined || answer === undefined) return undefined;
      // A client without an address may not take unicasts yet; a refusal goes to all (RFC 2131 4.1).
      const direct = request.own !== ANY4 && answer.type !== DHCP.nak;
      return { bytes: writeReply(message, answer), to: direct ? request.own : 'all', mac: request.mac };
    },
    restore({ address, mac }) {
      // As long as a new one: the guest's own clock may have stood still.
      if (pool.includes(address)) entries.set(address, { mac, state: 'taken', expires: now() + LEASE * 1e9 });
    },
    leases() {
      return [...entries]
        .filter(([, { state, expires }]) => state === 'taken' && expires > now())
        .map(([address, { mac }]) => ({ address, mac }));
    },
  };
}
