/** What of a network is kept with a saved machine. It may come from a file that anybody wrote. */
import { VirtsError } from '../base/errors.ts';
import { type Address, canonicalAddress, type Endpoint, type Mac, parseMac } from './address.ts';
import type { Lease } from './dhcp/server.ts';
import { MOST_FLOWS, type SavedConnection } from './tcp/flows.ts';

export interface NatState {
  readonly version: 1;
  readonly leases: readonly Lease[];
  readonly neighbours: readonly { readonly address: Address; readonly mac: Mac }[];
  readonly connections: readonly SavedConnection[];
}

/** Entries of each kind that an honest state has. */
const MOST_ENTRIES = MOST_FLOWS;

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

function wrong(): never {
  throw new VirtsError('bad-input', 'The saved state of the network is damaged; start the machine without it.');
}

function number(value: unknown, most: number): number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most ? (value as number) : wrong();
}

function address(value: unknown): Address {
  return (typeof value === 'string' ? canonicalAddress(value) : undefined) ?? wrong();
}

function placed(value: unknown): { address: Address; mac: Mac } {
  if (!isRecord(value) || typeof value.mac !== 'string' || parseMac(value.mac) === undefined) return wrong();
  return { address: address(value.address), mac: value.mac.toLowerCase() };
}

function endpoint(value: unknown): Endpoint {
  return isRecord(value) ? { address: address(value.address), port: number(value.port, 0xffff) } : wrong();
}

function connection(value: unknown): SavedConnection {
  if (!isRecord(value)) return wrong();
  const [guest, other] = [endpoint(value.guest), endpoint(value.other)];
  if (guest.address.includes(':') !== other.address.includes(':')) return wrong();
  const [sequence, acknowledgement] = [value.sequence, value.acknowledgement].map((one) => number(one, 0xffff_ffff));
  return { guest, other, sequence: sequence!, acknowledgement: acknowledgement! };
}

function list<T>(value: unknown, read: (entry: unknown) => T): T[] {
  return Array.isArray(value) && value.length <= MOST_ENTRIES ? value.map(read) : wrong();
}

/** Checks a state. @throws VirtsError `bad-input`. */
export function readNatState(value: unknown): NatState {
  if (!isRecord(value) || value.version !== 1) return wrong();
  return {
    version: 1,
    leases: list(value.leases, placed),
    neighbours: list(value.neighbours, placed),
    connections: list(value.connections, connection),
  };
}
