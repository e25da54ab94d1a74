/** What errors of the host's sockets mean. */
import { VirtsError } from '../../base/errors.ts';
import type { Endpoint } from '../address.ts';
import { isV6 } from '../address.ts';
import type { HostError } from '../host.ts';

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException | undefined)?.code ?? error);

const MEANINGS: Readonly<Record<string, HostError>> = {
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timeout',
  ENETUNREACH: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  EINVAL: 'unreachable',
  EMFILE: 'unreachable',
  ENFILE: 'unreachable',
};

export function hostError(error: unknown): HostError {
  return MEANINGS[codeOf(error)] ?? 'reset';
}

export const endpointText = ({ address, port }: Endpoint) =>
  isV6(address) ? `[${address}]:${port}` : `${address}:${port}`;

/** One sentence on why a port cannot be had. */
export function listenError(error: unknown, at: Endpoint, protocol: 'TCP' | 'UDP'): VirtsError {
  const code = codeOf(error);
  const name = `${protocol} port ${at.port}`;
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: `${name} of ${at.address} is in use; choose another port to forward, or end the program that has it.`,
    EADDRNOTAVAIL: `${at.address} is no address of this host; forward a port of one of its own, or leave the address out.`,
    EACCES: `${name} may not be used by this user; choose one from 1024 up to forward.`,
    EAFNOSUPPORT: `This host does not speak the protocol of the address ${at.address}; forward a port of another one.`,
    EMFILE: `${name} cannot be forwarded: this process has too many files open; forward fewer ports.`,
  };
  const message = why[code] ?? `${name} of ${at.address} cannot be forwarded (${code}).`;
  return new VirtsError('io', message, { at: endpointText(at), protocol, code }, error);
}
