/** DHCP messages (RFC 2131 2, RFC 2132). */
import { type Address, addressBytes, formatAddress, formatMac, type Mac } from '../address.ts';
import { getU16, getU32, setU16, setU32 } from '../wire.ts';

export const DHCP = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;

export const PORT = { server: 67, client: 68 } as const;

const FIXED = 236;
const COOKIE = 0x6382_5363;
/** Clients take at least this much (RFC 2131 2); some take no less. */
const LEAST_LENGTH = 300;
const ETHERNET = 1;

const OPTION = {
  pad: 0,
  mask: 1,
  router: 3,
  nameServer: 6,
  hostName: 12,
  domain: 15,
  mtu: 26,
  requested: 50,
  lease: 51,
  type: 53,
  server: 54,
  end: 255,
} as const;

export interface DhcpRequest {
  readonly type: number;
  readonly transaction: number;
  readonly broadcast: boolean;
  /** The address that the client has, 0.0.0.0 for none; that it asks for; and the server that it chose. */
  readonly own: Address;
  readonly requested: Address | undefined;
  readonly server: Address | undefined;
  readonly mac: Mac;
}

function address(bytes: Uint8Array | undefined): Address | undefined {
  return bytes?.length === 4 ? formatAddress(bytes, 0, 4) : undefined;
}

/** The options by number, the first of equal ones. */
function readOptions(bytes: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = FIXED + 4; at < bytes.length && bytes[at] !== OPTION.end; ) {
    if (bytes[at] === OPTION.pad) {
      at++;
      continue;
    }
    const length = bytes[at + 1];
    if (length === undefined || at + 2 + length > bytes.length) break;
    if (!options.has(bytes[at]!)) options.set(bytes[at]!, bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}

/** Reads what a client says; `undefined` where it is malformed or comes through a relay. */
export function parseRequest(bytes: Uint8Array): DhcpRequest | undefined {
  if (bytes.length < FIXED + 4 || bytes[0] !== 1 || bytes[1] !== ETHERNET || bytes[2] !== 6) return undefined;
  if (getU32(bytes, FIXED) !== COOKIE || getU32(bytes, 24) !== 0) return undefined;
  const options = readOptions(bytes);
  const type = options.get(OPTION.type);
  if (type?.length !== 1) return undefined;
  return {
    type: type[0]!,
    transaction: getU32(bytes, 4),
    broadcast: (getU16(bytes, 10) & 0x8000) !== 0,
    own: formatAddress(bytes, 12, 4),
    requested: address(options.get(OPTION.requested)),
    server: address(options.get(OPTION.server)),
    mac: formatMac(bytes, 28),
  };
}

/** What a client is told. */
export interface DhcpReply {
  readonly type: number;
  /** 0.0.0.0 where it gets none. */
  readonly address: Address;
  readonly server: Address;
  /** Absent in a refusal. */
  readonly settings?: {
    readonly maskBits: number;
    readonly router: Address;
    readonly nameServer: Address;
    /** Seconds; absent where the client only asked for settings. */
    readonly lease?: number;
    readonly mtu: number;
    readonly hostName?: string | undefined;
    readonly domain: string;
  };
}

const ascii = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0) & 0x7f);

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value);
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  setU32(bytes, 0, value);
  return bytes;
}

function settingsOptions(settings: NonNullable<DhcpReply['settings']>): [number, Uint8Array][] {
  const { maskBits, router, nameServer, lease, mtu, hostName, domain } = settings;
  return [
    ...(lease === undefined ? [] : [[OPTION.lease, u32(lease)] as [number, Uint8Array]]),
    [OPTION.mask, u32(maskBits === 0 ? 0 : -1 << (32 - maskBits))],
    [OPTION.router, addressBytes(router)],
    [OPTION.nameServer, addressBytes(nameServer)],
    [OPTION.mtu, u16(mtu)],
    [OPTION.domain, ascii(domain)],
    ...(hostName === undefined ? [] : [[OPTION.hostName, ascii(hostName)] as [number, Uint8Array]]),
  ];
}

/** Writes the answer to a request. */
export function writeReply(request: Uint8Array, reply: DhcpReply): Uint8Array {
  const options: [number, Uint8Array][] = [
    [OPTION.type, Uint8Array.of(reply.type)],
    [OPTION.server, addressBytes(reply.server)],
    ...(reply.settings === undefined ? [] : settingsOptions(reply.settings)),
  ];
  const length = options.reduce((sum, [, data]) => sum + 2 + data.length, FIXED + 5);
  const bytes = new Uint8Array(Math.max(LEAST_LENGTH, length));
  // Type, hardware, transaction, flags, client's own address and MAC address are the request's.
  bytes.set(request.subarray(0, FIXED));
  bytes[0] = 2;
  bytes[3] = 0;
  setU16(bytes, 8, 0);
  if (reply.type === DHCP.nak) bytes.fill(0, 12, 16);
  bytes.set(addressBytes(reply.address), 16);
  bytes.set(addressBytes(reply.type === DHCP.nak ? '0.0.0.0' : reply.server), 20);
  bytes.fill(0, 44, FIXED);
  setU32(bytes, FIXED, COOKIE);
  let at = FIXED + 4;
  for (const [number, data] of options) {
    bytes[at] = number;
    bytes[at + 1] = data.length;
    bytes.set(data, at + 2);
    at += 2 + data.length;
  }
  bytes[at] = OPTION.end;
  return bytes;
}
