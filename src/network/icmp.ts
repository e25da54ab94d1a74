/** ICMP and ICMPv6 (RFC 792, RFC 4443): echo, and why a packet went nowhere. */
import { type Address, isV6 } from './address.ts';
import type { HostNetwork } from './host.ts';
import { type IpPacket, PROTOCOL } from './ip/packet.ts';
import type { Lan } from './lan.ts';

const ECHO4 = { request: 8, reply: 0 } as const;
const ECHO6 = { request: 128, reply: 129 } as const;

/** Why: the code of "destination unreachable" in IPv4 and in IPv6. */
export const UNREACHABLE = {
  host: [1, 3],
  port: [3, 4],
  prohibited: [13, 1],
} as const;

/** Echo requests to outside hosts that wait for their answers. Further ones are lost. */
const MOST_ECHOES = 16;

/** Bytes of an error: few enough for any wire (RFC 4443 2.4). */
const MOST_QUOTED = 500;

function send(lan: Lan, source: Address, destination: Address, message: Uint8Array): void {
  lan.send({
    source,
    destination,
    protocol: isV6(source) ? PROTOCOL.icmp6 : PROTOCOL.icmp,
    length: message.length,
    checksumAt: 2,
    fill: (bytes, at) => bytes.set(message, at),
  });
}

/** Tells the sender of a packet that it goes nowhere. */
export function sendUnreachable(lan: Lan, packet: IpPacket, reason: keyof typeof UNREACHABLE): void {
  const { bytes, start, from, to, version, source } = packet;
  // Of a packet put together from fragments the header is gone, and without it the sender learns nothing.
  if (start === from) return;
  const quoted = bytes.subarray(start, Math.min(to, start + MOST_QUOTED));
  const message = new Uint8Array(8 + quoted.length);
  message[0] = version === 4 ? 3 : 1;
  message[1] = UNREACHABLE[reason][version === 4 ? 0 : 1];
  message.set(quoted, 8);
  send(lan, version === 4 ? lan.addresses.gateway : lan.addresses.gateway6, source, message);
}

export interface EchoOptions {
  readonly lan: Lan;
  readonly host: Pick<HostNetwork, 'echo'>;
  /** The host's name for a destination that guests may reach. */
  hostAddress(destination: Address): Address | undefined;
}

export interface Echo {
  /** Answers an echo request: at once for the router, and for others when the host got an answer. */
  receive(packet: IpPacket): void;
  readonly waiting: number;
}

export function createEcho({ lan, host, hostAddress }: EchoOptions): Echo {
  let waiting = 0;

  function reply({ bytes, from, to, version, source, destination }: IpPacket): void {
    const message = bytes.slice(from, to);
    message[0] = version === 4 ? ECHO4.reply : ECHO6.reply;
    message[2] = 0;
    message[3] = 0;
    send(lan, destination, source, message);
  }

  async function ask(packet: IpPacket, address: Address): Promise<void> {
    if (host.echo === undefined || waiting >= MOST_ECHOES) return;
    waiting++;
    try {
      if (await host.echo(address, packet.to - packet.from - 8)) reply(packet);
    } catch {
      // No answer is all that a guest learns of a host that is not there.
    } finally {
      waiting--;
    }
  }

  return {
    get waiting() {
      return waiting;
    },
    receive(packet) {
      const { bytes, from, to, version, destination } = packet;
      if (to - from < 8 || bytes[from] !== (version === 4 ? ECHO4.request : ECHO6.request)) return;
      if (lan.isOwn(destination)) {
        reply(packet);
        return;
      }
      const address = hostAddress(destination);
      if (address === undefined) sendUnreachable(lan, packet, 'prohibited');
      else void ask(packet, address);
    },
  };
}
