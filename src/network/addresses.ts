/** The addresses of a user-mode network: those that users of other such networks know. */
import { type Address, type Mac, type Prefix, parsePrefix } from './address.ts';

export interface LanAddresses {
  readonly mac: Mac;
  readonly subnet: Prefix;
  readonly gateway: Address;
  readonly nameServer: Address;
  /** What DHCP gives, the first address first. */
  readonly pool: readonly Address[];
  /** A prefix of 64 bits, unique to local networks (RFC 4193). */
  readonly prefix6: Prefix;
  readonly gateway6: Address;
  readonly nameServer6: Address;
  /** The router's address on the link. */
  readonly linkLocal: Address;
  /** Names of machines end in this, or have no ending. */
  readonly domain: string;
}

export const LAN: LanAddresses = {
  mac: '52:55:0a:00:02:02',
  subnet: parsePrefix('10.0.2.0/24')!,
  gateway: '10.0.2.2',
  nameServer: '10.0.2.3',
  pool: Array.from({ length: 240 }, (_, i) => `10.0.2.${15 + i}`),
  prefix6: parsePrefix('fd76:6972:7473:1::/64')!,
  gateway6: 'fd76:6972:7473:1::2',
  nameServer6: 'fd76:6972:7473:1::3',
  linkLocal: 'fe80::2',
  domain: 'virts.internal',
};

/** All addresses of the router itself. */
export function routerAddresses(addresses: LanAddresses): ReadonlySet<Address> {
  const { gateway, nameServer, gateway6, nameServer6, linkLocal } = addresses;
  return new Set([gateway, nameServer, gateway6, nameServer6, linkLocal]);
}

/** The name by which guests find the gateway. */
export const GATEWAY_NAME = 'gateway';
