/** The name server that guests ask: it knows the machines of its network and asks the host's resolver for all else. */
import type { Address } from '../address.ts';
import type { HostNetwork } from '../host.ts';
import type { Policy } from '../policy.ts';
import {
  addressAnswer,
  answers,
  failure,
  foundAddresses,
  parseQuery,
  type Query,
  RCODE,
  TYPE,
  truncated,
} from './message.ts';

/** Questions that wait for the host's resolver. Further ones fail, and guests ask again. */
const MOST_WAITING = 64;
/** Seconds that an address of a machine may be kept. */
const MACHINE_TTL = 10;

export interface NameServerOptions {
  readonly host: Pick<HostNetwork, 'resolve' | 'known'>;
  readonly policy: Policy;
  /** Addresses of a machine, or of the network's own services; `undefined` for a name that is not one of theirs. */
  machine(name: string): readonly Address[] | undefined;
}

export interface NameServer {
  /** Answers a query, within the size that the asker takes over UDP unless `stream`. `undefined`: it earns no answer. */
  answer(query: Uint8Array, stream: boolean): Promise<Uint8Array | undefined>;
  /** Questions under way. */
  readonly waiting: number;
}

/** Names that only mean something where they are asked (RFC 6761, 6762, 8375, 9476). */
const LOCAL = /(^|\.)(localhost|local|internal|invalid|onion)$/;

/** Reverse names of addresses that are nobody else's affair (RFC 6303). */
const PRIVATE_REVERSE =
  /(^|\.)(10|127|168\.192|254\.169|(1[6-9]|2\d|3[01])\.172)\.in-addr\.arpa$|\.[cdf]\.f\.ip6\.arpa$/;

export function createNameServer(options: NameServerOptions): NameServer {
  const { host, policy } = options;
  let waiting = 0;

  const asksAddress = ({ type, internet }: Query) => internet && (type === TYPE.a || type === TYPE.aaaa);

  /** What is answered without asking anybody. */
  function own(query: Query): Uint8Array | undefined {
    const machine = options.machine(query.name);
    if (machine !== undefined) return addressAnswer(query, machine, MACHINE_TTL);
    if (query.name === 'localhost') return addressAnswer(query, ['127.0.0.1', '::1'], MACHINE_TTL);
    if (LOCAL.test(query.name) || PRIVATE_REVERSE.test(query.name))
      return failure(query.bytes, RCODE.noName, query.end);
    if (!policy.mayResolve(query.name)) return failure(query.bytes, RCODE.refused, query.end);
    const noted = asksAddress(query) ? host.known(query.name) : [];
    if (noted.length === 0) return undefined;
    policy.resolved(noted, MACHINE_TTL);
    return addressAnswer(query, noted, MACHINE_TTL);
  }

  async function ask(query: Query): Promise<Uint8Array> {
    if (waiting >= MOST_WAITING) return failure(query.bytes, RCODE.failure, query.end);
    waiting++;
    try {
      const answer = await host.resolve(query.bytes);
      if (!answers(query, answer)) return failure(query.bytes, RCODE.failure, query.end);
      const { addresses, ttl } = foundAddresses(query, answer);
      if (addresses.length > 0) policy.resolved(addresses, ttl);
      return answer;
    } catch {
      return failure(query.bytes, RCODE.failure, query.end);
    } finally {
      waiting--;
    }
  }

  return {
    get waiting() {
      return waiting;
    },
    async answer(bytes, stream) {
      const query = parseQuery(bytes);
      if (query === undefined) return undefined;
      if (typeof query === 'number') return failure(bytes, query, undefined);
      const answer = own(query) ?? (await ask(query));
      return !stream && answer.length > query.udpSize ? truncated(query) : answer;
    },
  };
}
