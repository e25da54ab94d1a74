/** The host's network as Node sees it: sockets of an ordinary user, and the host's resolver. */
import { getServers } from 'node:dns';
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
  /** Takes a sentence for whoever started the machine; each comes once. */
  readonly tell?: (sentence: string) => void;
}

/** Notes, once, that no name server answers: guests see only that names do not resolve. */
function createResolver({ nameServers, tell = () => {} }: NodeNetworkOptions): HostNetwork['resolve'] {
  let told = false;
  return async (query) => {
    const servers = nameServers ?? getServers();
    try {
      return await resolve(query, servers);
    } catch (error) {
      if (!told) {
        const which = servers.length === 0 ? 'has no name server' : `reaches no name server (${servers.join(', ')})`;
        tell(`This host ${which}, so that the guest cannot look up names of the outside.`);
      }
      told = true;
      throw error;
    }
  };
}

export function createNodeNetwork(options: NodeNetworkOptions = {}): HostNetwork {
  const echo = createEcho(options.path ?? process.env.PATH ?? '');
  return {
    connect,
    listen,
    datagrams,
    bind,
    resolve: createResolver(options),
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

/** Whether the host has an address that others can reach, so that guests may get further than to this host. */
export function hasNetwork(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ internal }) => !internal));
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
