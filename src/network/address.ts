/** MAC, IPv4 and IPv6 addresses. An IP address is its canonical text (RFC 5952), so that equal ones are equal strings. */
import { getU16 } from './wire.ts';

/** Canonical text, such as `10.0.2.15` or `fe80::1`. */
export type Address = string;

/** Lower-case text, such as `52:54:00:12:34:56`. */
export type Mac = string;

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

export const BROADCAST_MAC: Mac = 'ff:ff:ff:ff:ff:ff';
export const ANY4: Address = '0.0.0.0';
export const ANY6: Address = '::';
export const ALL_NODES: Address = 'ff02::1';

export const isV6 = (address: Address): boolean => address.includes(':');

export function formatMac(bytes: Uint8Array, at: number): Mac {
  let text = '';
  for (let i = at; i < at + 6; i++) text += (i === at ? '' : ':') + bytes[i]!.toString(16).padStart(2, '0');
  return text;
}

/** Six bytes, or `undefined` where it is no MAC address. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

function formatV6(bytes: Uint8Array, at: number): Address {
  const groups = Array.from({ length: 8 }, (_, i) => getU16(bytes, at + 2 * i));
  // The longest run of two or more zero groups, the first of equals, becomes `::`.
  let [start, length] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > length) [start, length] = [i, end - i];
    i = Math.max(i, end - 1);
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** The address in `length` (4 or 16) bytes at `at`. */
export function formatAddress(bytes: Uint8Array, at: number, length: number): Address {
  if (length === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  return formatV6(bytes, at);
}

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return Uint8Array.from(parts, Number);
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    const v4 = i === parts.length - 1 && part.includes('.') ? parseV4(part) : undefined;
    if (v4 !== undefined) groups.push(getU16(v4, 0), getU16(v4, 2));
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(parseGroups);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...(tail ?? [])];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** 4 or 16 bytes, or `undefined` where it is no IP address. IPv6 zones are not addresses. */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseV6(text) : parseV4(text);
}

/** The canonical text of an address however it was written; an IPv4 address inside an IPv6 one becomes itself. */
export function canonicalAddress(text: string): Address | undefined {
  const bytes = parseAddress(text);
  if (bytes === undefined) return undefined;
  const mapped = bytes.length === 16 && bytes.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
  return mapped ? formatAddress(bytes, 12, 4) : formatAddress(bytes, 0, bytes.length);
}

/** The most addresses of which the bytes are kept. */
const MOST_KNOWN = 1024;
const known = new Map<Address, Uint8Array>();

/** The bytes of a canonical address, not to be changed. */
export function addressBytes(address: Address): Uint8Array {
  const found = known.get(address);
  if (found !== undefined) return found;
  const bytes = parseAddress(address)!;
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(address, bytes);
  return bytes;
}

/** A range of addresses with a common beginning, such as 10.0.2.0/24. */
export interface Prefix {
  readonly bytes: Uint8Array;
  /** Bits. */
  readonly length: number;
}

/** A prefix, or an address as a prefix of all its bits; `undefined` where it is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const [address, bits, ...more] = text.split('/');
  const canonical = canonicalAddress(address!);
  if (canonical === undefined || more.length > 0) return undefined;
  const bytes = addressBytes(canonical);
  if (bits === undefined) return { bytes, length: bytes.length * 8 };
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > bytes.length * 8) return undefined;
  return { bytes, length: Number(bits) };
}

export function inPrefix(address: Address, { bytes: wanted, length }: Prefix): boolean {
  const bytes = addressBytes(address);
  if (bytes.length !== wanted.length) return false;
  for (let bit = 0; bit < length; bit += 8) {
    const shift = Math.max(0, 8 - (length - bit));
    if (bytes[bit >> 3]! >> shift !== wanted[bit >> 3]! >> shift) return false;
  }
  return true;
}

const prefix = (text: string, length: number): Prefix => ({ bytes: parseAddress(text)!, length });

/** Addresses that mean the host itself when the host connects to them. */
const LOOPBACK = [prefix('127.0.0.0', 8), prefix('0.0.0.0', 8), prefix('::1', 128), prefix('::', 128)];
/** Nobody's or many's: multicast, broadcast, reserved, and IPv4 addresses in IPv6 form, which are never on a wire. */
const NOT_ONE = [prefix('224.0.0.0', 4), prefix('240.0.0.0', 4), prefix('ff00::', 8), prefix('::', 80)];
const LINK_LOCAL = [prefix('169.254.0.0', 16), prefix('fe80::', 10)];
/** Translation prefixes, and where in the address they hold an IPv4 one (RFC 6052 2.1, RFC 3056 2). */
const TRANSLATED = [
  { prefix: prefix('64:ff9b::', 96), at: 12 },
  { prefix: prefix('2002::', 16), at: 2 },
] as const;

export type AddressKind = 'ordinary' | 'loopback' | 'link-local' | 'not-one';

/** What connecting to an address would mean; an IPv6 address that leads to an IPv4 one is judged by that. */
export function addressKind(address: Address): AddressKind {
  const within = (list: readonly Prefix[]) => list.some((one) => inPrefix(address, one));
  if (within(LOOPBACK)) return 'loopback';
  if (within(NOT_ONE)) return 'not-one';
  if (within(LINK_LOCAL)) return 'link-local';
  const translated = TRANSLATED.find((one) => inPrefix(address, one.prefix));
  return translated === undefined ? 'ordinary' : addressKind(formatAddress(addressBytes(address), translated.at, 4));
}
