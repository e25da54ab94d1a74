/** Address resolution over Ethernet and IPv4 (RFC 826). */
import { type Address, addressBytes, formatAddress } from './address.ts';
import { ETHER, ETHERNET_HEADER } from './ip/packet.ts';
import { BROADCAST, type Lan } from './lan.ts';

const ARP = { size: 28, request: 1, reply: 2 } as const;

function arpMessage(operation: number, own: Uint8Array, from: Address, to: Uint8Array, target: Address): Uint8Array {
  const bytes = new Uint8Array(ARP.size);
  bytes.set([0, 1, 8, 0, 6, 4, 0, operation]);
  bytes.set(own, 8);
  bytes.set(addressBytes(from), 14);
  bytes.set(to, 18);
  bytes.set(addressBytes(target), 24);
  return bytes;
}

/** Asks who has an address. */
export function askArp(lan: Lan, address: Address): void {
  const nobody = new Uint8Array(6);
  lan.sendRaw(BROADCAST, ETHER.arp, arpMessage(ARP.request, lan.mac, lan.addresses.gateway, nobody, address));
}

/** Takes an ARP message: learns its sender, and answers for the router's own addresses. */
export function receiveArp(lan: Lan, frame: Uint8Array): void {
  const at = ETHERNET_HEADER;
  const expected = [0, 1, 8, 0, 6, 4, 0];
  if (frame.length < at + ARP.size || !expected.every((byte, i) => frame[at + i] === byte)) return;
  const sender = frame.subarray(at + 8, at + 14);
  const [source, target] = [formatAddress(frame, at + 14, 4), formatAddress(frame, at + 24, 4)];
  // An address announced from another MAC address than the frame's is no honest one.
  if (!sender.every((byte, i) => byte === frame[6 + i])) return;
  lan.learn(source, sender);
  if (frame[at + 7] !== ARP.request || !lan.isOwn(target) || lan.isOwn(source)) return;
  lan.sendRaw(sender, ETHER.arp, arpMessage(ARP.reply, lan.mac, target, sender, source));
}
