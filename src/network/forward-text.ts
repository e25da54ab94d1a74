/** Forwarded ports as people write them. */
import { VirtsError } from '../base/errors.ts';
import { canonicalAddress, isV6 } from './address.ts';
import type { ForwardRequest } from './nat.ts';

/** Where forwarded ports are to be reached unless told: by programs of this host. */
const LOOPBACK = '127.0.0.1';

const FORM =
  'It takes [[HOSTADDR:][HOSTPORT]:]GUESTPORT[/udp], such as 8080:80 or 8000-8009:8000-8009; without HOSTPORT a free one is taken.';

/** Reads a TCP or UDP port. @throws VirtsError `usage`. */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new VirtsError('usage', 'It takes a TCP port from 1 to 65535.');
  return port;
}

interface PortRange {
  readonly first: number;
  readonly last: number;
}

function parseRange(text: string): PortRange {
  const [first = '', last = first] = text.split('-');
  const range = { first: parsePort(first), last: parsePort(last) };
  if (range.last < range.first)
    throw new VirtsError('usage', `The ports ${text} are no range: it ends before it begins.`);
  return range;
}

const rangeText = (first: number, count: number) => (count === 1 ? `${first}` : `${first}-${first + count - 1}`);

/** A port, ports with a hyphen between, or 0 and nothing for a free port; then the guest's. */
const PATTERN = /^(?:(?:(\[[^\]]+\]|[^:[\]]+):)?(\d{0,5}|\d{1,5}-\d{1,5}):)?(\d{1,5}(?:-\d{1,5})?)(?:\/(tcp|udp))?$/;

/**
 * Reads `[[HOSTADDR:][HOSTPORT[-LAST]]:]GUESTPORT[-LAST][/udp]`. Ranges of one length go one to one; a range that leads to
 * one port of the guest means any free one of it.
 * @throws VirtsError `usage`.
 */
export function parseForward(text: string): ForwardRequest {
  const match = PATTERN.exec(text);
  if (match === null) throw new VirtsError('usage', FORM);
  const [, host = LOOPBACK, hostPorts = '', guestPorts, transport] = match;
  const address = canonicalAddress(host.replace(/^\[|\]$/g, ''));
  if (address === undefined) throw new VirtsError('usage', `${host} is no address of a host, such as 127.0.0.1.`);
  const guest = parseRange(guestPorts!);
  const count = guest.last - guest.first + 1;
  const protocol = transport === 'udp' ? 'udp' : 'tcp';
  const ports = { port: guest.first, ...(count === 1 ? {} : { count }) };
  if (/^0*$/.test(hostPorts)) return { protocol, at: { address, port: 0 }, ...ports };
  const { first, last } = parseRange(hostPorts);
  const at = { address, port: first };
  if (last - first + 1 === count) return { protocol, at, ...ports };
  if (count === 1) return { protocol, at, upTo: last, ...ports };
  throw new VirtsError('usage', `The ranges ${hostPorts} and ${guestPorts} must have the same length.`);
}

/** The shortest text that `parseForward` reads as this. */
export function formatForward({ protocol, at, upTo, port, count = 1 }: ForwardRequest): string {
  const host = at.address === LOOPBACK ? '' : isV6(at.address) ? `[${at.address}]:` : `${at.address}:`;
  const first = at.port === 0 ? '' : upTo === undefined ? rangeText(at.port, count) : `${at.port}-${upTo}`;
  const left = host === '' && first === '' ? '' : `${host}${first}:`;
  return `${left}${rangeText(port, count)}${protocol === 'udp' ? '/udp' : ''}`;
}
