/**
 * What guests may reach. It is asked when a name is looked up and again when a connection is made or a datagram sent, so
 * that knowing an address is of no use by itself.
 */
import { VirtsError } from '../base/errors.ts';
import { type Address, addressKind, inPrefix, type Prefix, parsePrefix } from './address.ts';

/** `listed`: names, `*.` and a name for all below it, addresses, and prefixes such as 192.168.0.0/16. */
export type Access =
  | { readonly kind: 'none' }
  | { readonly kind: 'full' }
  | { readonly kind: 'listed'; readonly hosts: readonly string[] };

export interface Policy {
  /** Whether the name, lower-case and without a dot at its end, may be looked up. */
  mayResolve(name: string): boolean;
  /** The resolver gave these addresses for a name that may be looked up, for so many seconds. */
  resolved(addresses: readonly Address[], ttl: number): void;
  /** Whether guests may reach an address. Never true for the host's loopback interface. */
  mayReach(address: Address): boolean;
  /** Addresses that are open because of a name. */
  readonly opened: number;
}

/** Addresses that may be open by name at once; the ones opened longest ago go first. */
const MOST_OPEN = 4096;
/** A guest may use an address for so long at least, and at most, after it asked; in seconds. */
const LEAST_OPEN = 600;
const LONGEST_OPEN = 86_400;

const NAME = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

interface Rules {
  readonly names: ReadonlySet<string>;
  readonly suffixes: readonly string[];
  readonly prefixes: readonly Prefix[];
}

const plain = (host: string) => host.toLowerCase().replace(/\.$/, '');

const isName = (text: string) => NAME.test(text) && text.length <= 253 && !/^[\d.]+$/.test(text);

/** Whether a text may stand in a list of hosts. */
export function isHostRule(host: string): boolean {
  return parsePrefix(plain(host)) !== undefined || isName(plain(host));
}

/** @throws VirtsError `usage` for what is neither a name nor an address. */
function readRules(hosts: readonly string[]): Rules {
  const names = new Set<string>();
  const suffixes: string[] = [];
  const prefixes: Prefix[] = [];
  for (const host of hosts) {
    const text = plain(host);
    const prefix = parsePrefix(text);
    if (prefix !== undefined) prefixes.push(prefix);
    else if (!isName(text)) {
      throw new VirtsError(
        'usage',
        `'${host}' is no host to allow; give a name, *.NAME, an address or a prefix such as 10.0.0.0/8.`,
        { host },
      );
    } else if (text.startsWith('*.')) suffixes.push(text.slice(1));
    else names.add(text);
  }
  return { names, suffixes, prefixes };
}

/** `now` gives nanoseconds. @throws VirtsError `usage`, see `readRules`. */
export function createPolicy(access: Access, now: () => number): Policy {
  const rules = readRules(access.kind === 'listed' ? access.hosts : []);
  /** Until when an address is open, in nanoseconds. */
  const open = new Map<Address, number>();

  function isOpen(address: Address): boolean {
    const until = open.get(address);
    if (until === undefined) return false;
    if (until > now()) return true;
    open.delete(address);
    return false;
  }

  return {
    get opened() {
      return open.size;
    },
    mayResolve(name) {
      if (access.kind !== 'listed') return access.kind === 'full';
      return rules.names.has(name) || rules.suffixes.some((suffix) => name.endsWith(suffix));
    },
    resolved(addresses, ttl) {
      if (access.kind !== 'listed') return;
      const until = now() + Math.min(LONGEST_OPEN, Math.max(LEAST_OPEN, ttl)) * 1e9;
      for (const address of addresses) {
        // Whoever owns a name chooses its addresses: it must not open what belongs to the host alone.
        if (addressKind(address) !== 'ordinary') continue;
        open.delete(address);
        if (open.size >= MOST_OPEN) open.delete(open.keys().next().value!);
        open.set(address, until);
      }
    },
    mayReach(address) {
      const kind = addressKind(address);
      if (access.kind === 'none' || kind === 'loopback' || kind === 'not-one') return false;
      if (access.kind === 'full') return true;
      return rules.prefixes.some((prefix) => inPrefix(address, prefix)) || isOpen(address);
    },
  };
}
