/** Builds IP packets and frames them: finds the receiver's MAC address, fragments what is too long, adds checksums. */
import { type Frame, type FrameSink, NO_OFFLOADS } from '../../base/frame.ts';
import { type Address, addressBytes, isV6 } from '../address.ts';
import { checksum, fold, pseudoHeaderSum } from '../checksum.ts';
import { setU16, setU32 } from '../wire.ts';
import { ETHER, ETHERNET_HEADER, PROTOCOL } from './packet.ts';

/** A packet's payload, written straight into its frame. */
export interface Outgoing {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  /** Bytes of the payload, transport header included: up to 65,535 less the IP header. */
  readonly length: number;
  /** Offset of the 16-bit checksum in the payload; -1 where it has none. */
  readonly checksumAt: number;
  /** TCP only: payload bytes of each segment, where the packet stands for several. The receiver must accept that. */
  readonly segmentSize?: number;
  /** 64 unless told. */
  readonly hops?: number;
  /** Writes the payload, its checksum 0, at `at`. */
  fill(bytes: Uint8Array, at: number): void;
}

export interface IpOutput {
  /**
   * Sends a packet to the guest at `mac`; a fragment at a time where it is too long for the wire. `false` where the wire
   * had no room for it.
   */
  send(packet: Outgoing, mac: Uint8Array): boolean;
}

export interface IpOutputOptions {
  readonly wire: FrameSink;
  /** The sender's MAC address. */
  readonly mac: Uint8Array;
  /** Most bytes of an IP packet that is no segments in one. */
  readonly mtu: number;
}

function writeV4(bytes: Uint8Array, packet: Outgoing, length: number, id: number, fragment: number): void {
  const at = ETHERNET_HEADER;
  bytes[at] = 0x45;
  setU16(bytes, at + 2, 20 + length);
  setU16(bytes, at + 4, id);
  setU16(bytes, at + 6, fragment);
  bytes[at + 8] = packet.hops ?? 64;
  bytes[at + 9] = packet.protocol;
  bytes.set(addressBytes(packet.source), at + 12);
  bytes.set(addressBytes(packet.destination), at + 16);
  setU16(bytes, at + 10, checksum(bytes, at, at + 20));
}

function writeV6(bytes: Uint8Array, packet: Outgoing, length: number, next: number): void {
  const at = ETHERNET_HEADER;
  bytes[at] = 0x60;
  setU16(bytes, at + 4, length);
  bytes[at + 6] = next;
  bytes[at + 7] = packet.hops ?? 64;
  bytes.set(addressBytes(packet.source), at + 8);
  bytes.set(addressBytes(packet.destination), at + 24);
}

/** Bytes of an IPv6 fragment header, and its number (RFC 8200 4.5). */
const FRAGMENT_HEADER = 8;
const FRAGMENT = 44;

export function createIpOutput({ wire, mac: own, mtu }: IpOutputOptions): IpOutput {
  let nextId = 1;

  function newFrame(to: Uint8Array, v6: boolean, length: number): Uint8Array {
    const bytes = new Uint8Array(ETHERNET_HEADER + (v6 ? 40 : 20) + length);
    bytes.set(to, 0);
    bytes.set(own, 6);
    setU16(bytes, 12, v6 ? ETHER.ipv6 : ETHER.ipv4);
    return bytes;
  }

  /** Completes the checksum, or says what the receiver has to complete. */
  function finish(bytes: Uint8Array, packet: Outgoing, at: number, offload: boolean): Frame {
    const { checksumAt, source, destination, protocol, length, segmentSize = 0 } = packet;
    if (checksumAt < 0) return { bytes, segmentSize: 0, checksumStart: 0, checksumOffset: 0 };
    const pseudo = protocol === PROTOCOL.icmp ? 0 : pseudoHeaderSum(source, destination, protocol, length);
    const place = at + checksumAt;
    if (offload) {
      setU16(bytes, place, fold(pseudo));
      return { bytes, segmentSize, checksumStart: at, checksumOffset: checksumAt };
    }
    const sum = checksum(bytes, at, at + length, pseudo);
    // In UDP, 0 means that there is none (RFC 768).
    setU16(bytes, place, sum === 0 && protocol === PROTOCOL.udp ? 0xffff : sum);
    return { bytes, segmentSize: 0, checksumStart: 0, checksumOffset: 0 };
  }

  function sendFragments(packet: Outgoing, to: Uint8Array, v6: boolean): boolean {
    const payload = new Uint8Array(packet.length);
    packet.fill(payload, 0);
    finish(payload, packet, 0, false);
    const header = v6 ? 40 + FRAGMENT_HEADER : 20;
    const step = (mtu - header) & ~7;
    const id = nextId++;
    for (let offset = 0; offset < payload.length; offset += step) {
      const part = payload.subarray(offset, offset + step);
      const more = offset + part.length < payload.length;
      const bytes = newFrame(to, v6, part.length + (v6 ? FRAGMENT_HEADER : 0));
      const at = ETHERNET_HEADER + header;
      if (v6) {
        writeV6(bytes, packet, FRAGMENT_HEADER + part.length, FRAGMENT);
        bytes[at - FRAGMENT_HEADER] = packet.protocol;
        setU16(bytes, at - 6, offset | (more ? 1 : 0));
        setU32(bytes, at - 4, id);
      } else writeV4(bytes, packet, part.length, id & 0xffff, (offset >> 3) | (more ? 0x2000 : 0));
      bytes.set(part, at);
      if (!wire.send({ bytes, segmentSize: 0, checksumStart: 0, checksumOffset: 0 })) return false;
    }
    return true;
  }

  return {
    send(packet, to) {
      const v6 = isV6(packet.source);
      const header = v6 ? 40 : 20;
      if (packet.segmentSize === undefined && header + packet.length > mtu) return sendFragments(packet, to, v6);
      const bytes = newFrame(to, v6, packet.length);
      if (v6) writeV6(bytes, packet, packet.length, packet.protocol);
      else writeV4(bytes, packet, packet.length, nextId++ & 0xffff, 0x4000);
      const at = ETHERNET_HEADER + header;
      packet.fill(bytes, at);
      const offloaded = packet.protocol === PROTOCOL.tcp || packet.protocol === PROTOCOL.udp;
      const { checksum: missing } = offloaded ? wire.offloads() : NO_OFFLOADS;
      return wire.send(finish(bytes, packet, at, missing));
    },
  };
}
