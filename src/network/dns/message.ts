/** DNS messages (RFC 1035 4), as far as a forwarder has to understand them. */
import { type Address, addressBytes, formatAddress, isV6 } from '../address.ts';
import { getU16, getU32, setU16, setU32 } from '../wire.ts';

export const RCODE = { ok: 0, malformed: 1, failure: 2, noName: 3, notImplemented: 4, refused: 5 } as const;

export const TYPE = { a: 1, cname: 5, ptr: 12, aaaa: 28, opt: 41 } as const;

export const DNS_HEADER = 12;
const CLASS_IN = 1;
const FLAG = {
  response: 0x8000,
  authoritative: 0x400,
  truncated: 0x200,
  recursionDesired: 0x100,
  available: 0x80,
} as const;
const OPCODE = 0x7800;

/** The most compressed parts of one name. */
const MOST_JUMPS = 32;

interface Name {
  /** Lower-case labels with dots between; bytes that are not printable ASCII as `\ddd`. Empty for the root. */
  readonly text: string;
  /** Where the message goes on after it. */
  readonly end: number;
}

function label(bytes: Uint8Array, from: number, to: number): string {
  let text = '';
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text.toLowerCase();
}

/** Reads a name, compressed or not (RFC 1035 4.1.4); `undefined` where it is malformed. */
function readName(bytes: Uint8Array, start: number): Name | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let jumps = 0;
  let length = 0;
  for (let at = start; ; ) {
    const size = bytes[at];
    if (size === undefined) return undefined;
    if (size === 0) return { text: labels.join('.'), end: end ?? at + 1 };
    if (size >= 0xc0) {
      if (at + 1 >= bytes.length || ++jumps > MOST_JUMPS) return undefined;
      end ??= at + 2;
      const target = getU16(bytes, at) & 0x3fff;
      // Only names that came before can be meant.
      if (target >= at) return undefined;
      at = target;
      continue;
    }
    length += size + 1;
    if (size > 63 || length > 254 || at + 1 + size > bytes.length) return undefined;
    labels.push(label(bytes, at + 1, at + 1 + size));
    at += 1 + size;
  }
}

export interface Query {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly type: number;
  /** Whether it is of the class IN. */
  readonly internet: boolean;
  /** Where the question ends. */
  readonly end: number;
  /** The largest answer that the asker takes over UDP (RFC 6891 6.2.3). */
  readonly udpSize: number;
}

/** Skips a name and the ten bytes of a record's head; where its data begin and end. */
function readRecord(bytes: Uint8Array, at: number) {
  const name = readName(bytes, at);
  if (name === undefined || name.end + 10 > bytes.length) return undefined;
  const from = name.end + 10;
  const to = from + getU16(bytes, name.end + 8);
  if (to > bytes.length) return undefined;
  return {
    name: name.text,
    type: getU16(bytes, name.end),
    class: getU16(bytes, name.end + 2),
    ttl: getU32(bytes, name.end + 4),
    from,
    to,
  };
}

function udpSize(bytes: Uint8Array, questionEnd: number): number {
  const others = getU16(bytes, 6) + getU16(bytes, 8);
  const record = others === 0 && getU16(bytes, 10) > 0 ? readRecord(bytes, questionEnd) : undefined;
  return record?.type === TYPE.opt ? Math.min(4096, Math.max(512, record.class)) : 512;
}

/** Reads a query of one question, or gives the response code that it earns; `undefined` where it is none. */
export function parseQuery(bytes: Uint8Array): Query | number | undefined {
  if (bytes.length < DNS_HEADER || (getU16(bytes, 2) & FLAG.response) !== 0) return undefined;
  if ((getU16(bytes, 2) & OPCODE) !== 0) return RCODE.notImplemented;
  if (getU16(bytes, 4) !== 1) return RCODE.malformed;
  const name = readName(bytes, DNS_HEADER);
  if (name === undefined || name.end + 4 > bytes.length) return RCODE.malformed;
  const end = name.end + 4;
  const internet = getU16(bytes, name.end + 2) === CLASS_IN;
  return { bytes, name: name.text, type: getU16(bytes, name.end), internet, end, udpSize: udpSize(bytes, end) };
}

/** An answer without records. The question is repeated up to `end`, if it could be read. */
export function failure(query: Uint8Array, code: number, end: number | undefined): Uint8Array {
  const bytes = new Uint8Array(end ?? DNS_HEADER);
  bytes.set(query.subarray(0, bytes.length));
  const asked = getU16(query, 2) & (OPCODE | FLAG.recursionDesired);
  setU16(bytes, 2, FLAG.response | FLAG.available | asked | code);
  setU16(bytes, 4, end === undefined ? 0 : 1);
  bytes.fill(0, 6, DNS_HEADER);
  return bytes;
}

/** An answer with addresses of the question's name, those of the type that was asked for. */
export function addressAnswer(query: Query, addresses: readonly Address[], ttl: number): Uint8Array {
  const fitting = addresses.filter((address) => query.type === (isV6(address) ? TYPE.aaaa : TYPE.a));
  const head = failure(query.bytes, RCODE.ok, query.end);
  setU16(head, 2, getU16(head, 2) | FLAG.authoritative);
  setU16(head, 6, fitting.length);
  const records = fitting.map((address) => {
    const data = addressBytes(address);
    const record = new Uint8Array(12 + data.length);
    setU16(record, 0, 0xc000 | DNS_HEADER);
    setU16(record, 2, query.type);
    setU16(record, 4, CLASS_IN);
    setU32(record, 6, ttl);
    setU16(record, 10, data.length);
    record.set(data, 12);
    return record;
  });
  const bytes = new Uint8Array(records.reduce((sum, record) => sum + record.length, head.length));
  bytes.set(head);
  let at = head.length;
  for (const record of records) {
    bytes.set(record, at);
    at += record.length;
  }
  return bytes;
}

/** Whether a message answers this query: same number, same question. */
export function answers(query: Query, bytes: Uint8Array): boolean {
  if (bytes.length < DNS_HEADER || getU16(bytes, 0) !== getU16(query.bytes, 0)) return false;
  if ((getU16(bytes, 2) & FLAG.response) === 0 || getU16(bytes, 4) !== 1) return false;
  const name = readName(bytes, DNS_HEADER);
  if (name === undefined || name.text !== query.name || name.end + 4 > bytes.length) return false;
  return getU16(bytes, name.end) === query.type;
}

export interface Found {
  readonly addresses: readonly Address[];
  /** Seconds: the shortest of all. */
  readonly ttl: number;
}

/** The most records of an answer that are looked at. */
const MOST_RECORDS = 256;

/** The addresses that an answer gives for the question's name, or for a name that this one is an alias of. */
export function foundAddresses(query: Query, bytes: Uint8Array): Found {
  const names = new Set([query.name]);
  const addresses: Address[] = [];
  let ttl = 0xffff_ffff;
  let at = readName(bytes, DNS_HEADER)!.end + 4;
  for (let left = Math.min(MOST_RECORDS, getU16(bytes, 6)); left > 0; left--) {
    const record = readRecord(bytes, at);
    if (record === undefined) break;
    const { name, type, from, to } = record;
    at = to;
    if (!names.has(name) || record.class !== CLASS_IN) continue;
    ttl = Math.min(ttl, record.ttl);
    const size = to - from;
    if ((type === TYPE.a && size === 4) || (type === TYPE.aaaa && size === 16)) {
      addresses.push(formatAddress(bytes, from, size));
    } else if (type === TYPE.cname) {
      const alias = readName(bytes, from);
      if (alias !== undefined) names.add(alias.text);
    }
  }
  return { addresses, ttl };
}

/** An answer too long for UDP: the asker is to come back over TCP (RFC 2181 9). */
export function truncated(query: Query): Uint8Array {
  const bytes = failure(query.bytes, RCODE.ok, query.end);
  setU16(bytes, 2, getU16(bytes, 2) | FLAG.truncated);
  return bytes;
}

export function isTruncated(bytes: Uint8Array): boolean {
  return bytes.length >= DNS_HEADER && (getU16(bytes, 2) & FLAG.truncated) !== 0;
}
