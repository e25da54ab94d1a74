/** Forwarded ports as people write them. */
import { VirtsError } from '../base/errors.ts';
import { canonicalAddress } from './address.ts';
import type { ForwardRequest } from './nat.ts';

/** Where forwarded ports are to be reached unless told: by programs of this host. */
const LOOPBACK = '127.0.0.1';

const FORM = 'It takes [HOSTADDR:]HOSTPORT:GUESTPORT[/udp], such as 8080:80.';

/** Reads a TCP or UDP port. @throws VirtsError `usage`. */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new VirtsError('usage', 'It takes a TCP port from 1 to 65535.');
  return port;
}

/** Reads `[HOSTADDR:]HOSTPORT:GUESTPORT[/udp]`. @throws VirtsError `usage`. */
export function parseForward(text: string): ForwardRequest {
  const match = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
  if (match === null) throw new VirtsError('usage', FORM);
  const [, host = LOOPBACK, hostPort, guestPort, protocol] = match;
  const address = canonicalAddress(host.replace(/^\[|\]$/g, ''));
  if (address === undefined) throw new VirtsError('usage', `${host} is no address of a host, such as 127.0.0.1.`);
  const at = { address, port: parsePort(hostPort!) };
  return { protocol: protocol === 'udp' ? 'udp' : 'tcp', at, port: parsePort(guestPort!) };
}

/** The shortest text that `parseForward` reads as this. */
export function formatForward({ protocol, at, port }: ForwardRequest): string {
  const host = at.address === LOOPBACK ? '' : at.address.includes(':') ? `[${at.address}]:` : `${at.address}:`;
  return `${host}${at.port}:${port}${protocol === 'udp' ? '/udp' : ''}`;
}
