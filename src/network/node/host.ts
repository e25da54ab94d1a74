/** The host's network as Node sees it: sockets of an ordinary user, and the host's resolver. */
import { networkInterfaces } from 'node:os';
import type { TimerService } from '../../base/clock.ts';
import { inPrefix, parsePrefix } from '../address.ts';
import type { HostNetwork } from '../host.ts';
import { createEcho } from './echo.ts';
import { createHostsFile } from './hosts-file.ts';
import { resolve } from './resolver.ts';
import { connect, listen } from './tcp.ts';
import { bind, datagrams } from './udp.ts';

export interface NodeNetworkOptions {
  /** Name servers in place of the host's, as `dns.getServers` writes them. */
  readonly nameServers?: readonly string[];
  readonly hostsFile?: string;
  /** Where `ping` is looked for. */
  readonly path?: string;
}

export function createNodeNetwork(options: NodeNetworkOptions = {}): HostNetwork {
  const echo = createEcho(options.path ?? process.env.PATH ?? '');
  return {
    connect,
    listen,
    datagrams,
    bind,
    resolve: (query) => resolve(query, options.nameServers),
    known: createHostsFile(options.hostsFile ?? '/etc/hosts'),
    ...(echo === undefined ? {} : { echo }),
  };
}

const GLOBAL6 = parsePrefix('2000::/3')!;

/** Whether the host has an address by which it may reach the outside over IPv6. */
export function hasRoute6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address, family, internal }) => family === 'IPv6' && !internal && inPrefix(address, GLOBAL6)),
  );
}

/** Timers by the host's event loop; they do not keep it going. */
export function createHostTimers(): TimerService {
  const now = () => performance.now() * 1e6;
  return {
    now,
    timer(fire) {
      let pending: NodeJS.Timeout | undefined;
      const cancel = (): void => {
        clearTimeout(pending);
        pending = undefined;
      };
      return {
        arm(deadline) {
          cancel();
          const ms = Math.max(0, Math.ceil((deadline - now()) / 1e6));
          // Longer waits are not to be had in one go; whoever waits looks at the clock again.
          pending = setTimeout(fire, Math.min(ms, 2 ** 31 - 1)).unref();
        },
        cancel,
      };
    },
  };
}
